//! A title from what was said first.

/// The width of a title in columns of a fixed font.
const WIDTH: usize = 48;

/// The first line that says something, without its Markdown marks, cut between words where it is long.
pub(super) fn of(text: &str) -> String {
    let line = text.lines().map(bare).find(|line| line.chars().any(char::is_alphanumeric));
    // There may be no word in it at all.
    cut(line.unwrap_or_else(|| text.trim().lines().next().unwrap_or_default()))
}

/// A line without what makes it a heading, an item or a quotation. A fence names a language and says nothing.
fn bare(line: &str) -> &str {
    let line = line.trim();
    if line.starts_with("```") || line.starts_with("~~~") {
        return "";
    }
    line.trim_start_matches(['#', '>', '-', '*', ' ']).trim()
}

fn cut(line: &str) -> String {
    let mut width = 0;
    let mut end = line.len();
    for (at, c) in line.char_indices() {
        width += columns(c);
        if width > WIDTH {
            end = at;
            break;
        }
    }
    if end == line.len() {
        return line.to_owned();
    }
    let whole = &line[..end];
    // A word that goes on behind the end is left out, unless that would leave too little.
    let between = line[end..].starts_with(char::is_whitespace);
    let words =
        if between { whole } else { whole.rfind(char::is_whitespace).map_or(whole, |at| &whole[..at]) };
    let kept = if words.len() * 2 < whole.len() { whole } else { words };
    format!("{}…", kept.trim_end())
}

/// Ideographs and their like are twice as wide.
const fn columns(c: char) -> usize {
    if c as u32 >= 0x1100 { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn titles_are_the_first_words() {
        let titles = [
            ("Hello there", "Hello there"),
            ("\n\n## A heading\nand more", "A heading"),
            ("```rust\nfn main() {}\n```", "fn main() {}"),
            ("> quoted\nanswer", "quoted"),
            ("", ""),
            ("   \n", ""),
            ("?!", "?!"),
            (
                "Please explain to me how the borrow checker of this language works",
                "Please explain to me how the borrow checker of…",
            ),
            (
                "请用简单的话解释一下什么是量子计算以及它有什么用处和它为什么这么难",
                "请用简单的话解释一下什么是量子计算以及它有什么用…",
            ),
        ];
        for (text, title) in titles {
            assert_eq!(of(text), title, "{text}");
        }
        let word = "x".repeat(500);
        assert_eq!(of(&word), format!("{}…", "x".repeat(48)));
    }
}
