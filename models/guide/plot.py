"""Draws the training curve as an SVG.

    python plot.py --log log.jsonl --out curve.svg
"""

import argparse
import json
from pathlib import Path

WIDE, HIGH, LEFT, TOP = 720, 360, 56, 40
LINES = {"books-held": ("old stories, held out", "#8a4b08"), "dialogues-held": ("replies, held out", "#1f6f8b")}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    entries = [json.loads(line) for line in arguments.log.read_text().splitlines()]
    most = max(entry["tokens"] for entry in entries)
    top = 6.0
    x = lambda tokens: LEFT + tokens / most * (WIDE - LEFT - 20)
    y = lambda surprise: TOP + (1 - min(surprise, top) / top) * (HIGH - TOP - 50)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {HIGH}" font-family="sans-serif" font-size="12">',
             f'<rect width="{WIDE}" height="{HIGH}" fill="white"/>']
    for value in range(7):
        parts.append(f'<line x1="{LEFT}" x2="{WIDE - 20}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#ddd"/><text x="{LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value}</text>')
    for millions in range(0, int(most / 1e6) + 1, 100):
        parts.append(f'<text x="{x(millions * 1e6):.1f}" y="{HIGH - 32}" text-anchor="middle">{millions}</text>')
    parts.append(f'<text x="{WIDE / 2}" y="{HIGH - 12}" text-anchor="middle">millions of tokens</text><text x="{LEFT}" y="20">nats per token</text>')
    for place, (key, (name, colour)) in enumerate(LINES.items()):
        points = " ".join(f"{x(entry['tokens']):.1f},{y(entry[key]):.1f}" for entry in entries)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/><text x="{WIDE - 30}" y="{20 + 16 * place}" text-anchor="end" fill="{colour}">{name}</text>')
    arguments.out.write_text("\n".join([*parts, "</svg>"]) + "\n")


if __name__ == "__main__":
    main()
