//! Plots of lines as SVG: axes that are linear or logarithmic, a legend, and colours for light and for dark pages.
//!
//! A plot is plain data; [`Plot::svg`] is the whole file as text. Colours follow what the reader's system prefers, by a rule of the
//! file's own style sheet, so one file serves both.

use std::fmt::Write;

/// A picture of panels below one another.
#[derive(Clone, Debug, PartialEq)]
pub struct Plot {
    pub title: String,
    pub panels: Vec<Panel>,
}

/// Lines over common axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    pub title: String,
    /// What the axes are about, units included.
    pub x: String,
    pub y: String,
    pub x_scale: Scale,
    pub y_scale: Scale,
    /// A value of y at which a quiet line goes across.
    pub rule: Option<f64>,
    pub lines: Vec<Line>,
}

/// How values lie along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// From 0 on.
    Linear,
    /// Equal factors are equally long; the marks are the values of the points where these are few. What is not above 0 is left out.
    Logarithmic,
}

/// A line through points.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub label: String,
    /// Lines that belong together have the same number.
    pub colour: usize,
    /// What is computed and not measured is dashed, and its points have no marks.
    pub dashed: bool,
    pub points: Vec<(f64, f64)>,
}

/// For light pages and for dark ones.
const COLOURS: [(&str, &str); 6] = [
    ("#2a78d6", "#3987e5"),
    ("#d9572b", "#e0683f"),
    ("#158f66", "#1fa97a"),
    ("#6a4fc4", "#9085e9"),
    ("#b3780a", "#d09a2c"),
    ("#c23a72", "#dd6596"),
];

const WIDTH: f64 = 800.0;
const TITLE_HEIGHT: f64 = 40.0;
const PANEL_HEIGHT: f64 = 320.0;
/// Around the area of lines: room for marks, names of axes and the legend.
const LEFT: f64 = 64.0;
const RIGHT: f64 = 196.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 52.0;
const LEGEND_LINE: f64 = 20.0;
/// Around a name in the legend, with the line before it.
const LEGEND_MARGIN: f64 = 64.0;
/// A character of it: on average narrower, in fonts that are usual.
const CHARACTER: f64 = 6.6;
/// More marks than this would run into each other.
const MOST_MARKS: usize = 9;

impl Plot {
    /// The whole file.
    pub fn svg(&self) -> String {
        let panels: f64 = self.panels.iter().map(Panel::height).sum();
        let height = TITLE_HEIGHT + panels.max(PANEL_HEIGHT);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
             role=\"img\">\n<title>{title}</title>\n{style}<rect class=\"page\" width=\"{WIDTH}\" height=\"{height}\"/>\n\
             <text class=\"title\" x=\"16\" y=\"26\">{title}</text>\n",
            title = escaped(&self.title),
            style = style(),
        );
        if self.panels.is_empty() {
            out += "<text x=\"16\" y=\"64\">nothing was measured</text>\n";
        }
        let mut top = TITLE_HEIGHT;
        for panel in &self.panels {
            let _ = writeln!(out, "<g transform=\"translate(0 {top})\">");
            out += &panel.svg();
            out += "</g>\n";
            top += panel.height();
        }
        out + "</svg>\n"
    }
}

fn style() -> String {
    let mut light = String::new();
    let mut dark = String::new();
    for (place, (on_light, on_dark)) in COLOURS.iter().enumerate() {
        for (out, colour) in [(&mut light, on_light), (&mut dark, on_dark)] {
            let _ = write!(out, ".line{place}{{stroke:{colour}}}.mark{place}{{fill:{colour}}}");
        }
    }
    format!(
        "<style>\
         text{{font:12px system-ui,sans-serif;fill:#4d4d48}}.title{{font-size:15px;font-weight:600;fill:#1c1c1a}}\
         .name{{font-weight:600;fill:#1c1c1a}}.page{{fill:#fdfdfc}}.grid{{stroke:#e3e3de;fill:none}}\
         .rule{{stroke:#8a8a84;fill:none}}.line{{fill:none;stroke-width:2;stroke-linejoin:round}}.dashed{{stroke-dasharray:5 4;\
         stroke-width:1.5}}{light}\
         @media (prefers-color-scheme:dark){{text{{fill:#b9b9b2}}.title,.name{{fill:#f2f2ee}}.page{{fill:#1a1a19}}\
         .grid{{stroke:#343431}}.rule{{stroke:#85857e}}{dark}}}\
         </style>\n"
    )
}

/// An axis: from which value to which, and where on the page.
struct Axis {
    scale: Scale,
    from: f64,
    to: f64,
    start: f64,
    end: f64,
}

impl Axis {
    /// An axis that shows all values that it can; `rule` is one of them that has no mark of its own.
    fn new(scale: Scale, values: &[f64], rule: Option<f64>, (start, end): (f64, f64)) -> Self {
        let shown = values.iter().copied().chain(rule).filter(|value| shows(scale, *value));
        let nothing = (f64::INFINITY, f64::NEG_INFINITY);
        let (least, most) = shown.fold(nothing, |(least, most), value| (least.min(value), most.max(value)));
        let (from, to) = match scale {
            _ if least > most => (1.0, 2.0),
            Scale::Linear => {
                let unit = unit(most.max(0.0) - least.min(0.0));
                ((least.min(0.0) / unit).floor() * unit, (most.max(0.0) / unit).ceil().max(1.0) * unit)
            }
            // A single value stands in the middle.
            Scale::Logarithmic if least < most => (least, most),
            Scale::Logarithmic => (least / 2.0, least * 2.0),
        };
        Self { scale, from, to, start, end }
    }

    /// Where a value lies on the page.
    fn place(&self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => (value - self.from) / (self.to - self.from),
            Scale::Logarithmic => (value / self.from).ln() / (self.to / self.from).ln(),
        };
        self.start + share * (self.end - self.start)
    }

    fn marks(&self, values: &[f64]) -> Vec<f64> {
        if self.scale == Scale::Linear {
            let unit = unit(self.to - self.from);
            let count = ((self.to - self.from) / unit).round() as usize;
            return (0..=count).map(|mark| self.from + mark as f64 * unit).collect();
        }
        let mut marks: Vec<f64> = values.iter().copied().filter(|value| shows(self.scale, *value)).collect();
        marks.sort_by(f64::total_cmp);
        marks.dedup();
        let every = marks.len().div_ceil(MOST_MARKS).max(1);
        marks.into_iter().step_by(every).collect()
    }
}

/// Whether an axis can show a value.
fn shows(scale: Scale, value: f64) -> bool {
    value.is_finite() && (scale == Scale::Linear || value > 0.0)
}

/// The distance of marks of a linear axis that is so long: 1, 2 or 5 of a power of ten, so that there are three to five.
fn unit(length: f64) -> f64 {
    if length <= 0.0 {
        return 1.0;
    }
    let rough = length / 5.0;
    let power = 10_f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= 0.999 * rough);
    factor.unwrap_or(10.0) * power
}

impl Panel {
    /// High enough for its legend.
    fn height(&self) -> f64 {
        PANEL_HEIGHT.max(TOP + BOTTOM + LEGEND_LINE * self.lines.len() as f64)
    }

    /// The room beside the area of lines, for the longest name in the legend.
    fn right(&self) -> f64 {
        let longest = self.lines.iter().map(|line| line.label.chars().count()).max().unwrap_or(0);
        (LEGEND_MARGIN + CHARACTER * longest as f64).clamp(RIGHT, WIDTH / 2.0)
    }

    fn svg(&self) -> String {
        let shown = |(x, y): &(f64, f64)| shows(self.x_scale, *x) && shows(self.y_scale, *y);
        let points = self.lines.iter().flat_map(|line| &line.points).copied();
        let (xs, ys): (Vec<f64>, Vec<f64>) = points.filter(shown).unzip();
        let (left, right, top, bottom) = (LEFT, WIDTH - self.right(), TOP, self.height() - BOTTOM);
        let x = Axis::new(self.x_scale, &xs, None, (left, right));
        let y = Axis::new(self.y_scale, &ys, self.rule, (bottom, top));
        let mut out = format!("<text class=\"name\" x=\"16\" y=\"16\">{}</text>\n", escaped(&self.title));
        for mark in x.marks(&xs) {
            let at = x.place(mark);
            let _ = writeln!(
                out,
                "<path class=\"grid\" d=\"M{at:.1} {top}V{bottom}\"/><text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                bottom + 18.0,
                told(mark)
            );
        }
        for mark in y.marks(&ys) {
            let at = y.place(mark);
            let _ = writeln!(
                out,
                "<path class=\"grid\" d=\"M{left} {at:.1}H{right}\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                left - 8.0,
                at + 4.0,
                told(mark)
            );
        }
        if let Some(rule) = self.rule.filter(|rule| shows(self.y_scale, *rule)) {
            let _ = writeln!(out, "<path class=\"rule\" d=\"M{left} {:.1}H{right}\"/>", y.place(rule));
        }
        let (middle, centre) = (f64::midpoint(left, right), f64::midpoint(top, bottom));
        let _ = writeln!(
            out,
            "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n\
             <text transform=\"translate(18 {centre}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            bottom + 40.0,
            escaped(&self.x),
            escaped(&self.y)
        );
        for (place, line) in self.lines.iter().enumerate() {
            let points = line.points.iter().copied().filter(shown);
            let points: Vec<_> = points.map(|(a, b)| (x.place(a), y.place(b))).collect();
            out += &line.svg(&points);
            out += &line.legend(right + 20.0, top + 8.0 + LEGEND_LINE * place as f64);
        }
        out
    }
}

impl Line {
    fn classes(&self) -> String {
        let dashed = if self.dashed { " dashed" } else { "" };
        format!("line line{}{dashed}", self.colour % COLOURS.len())
    }

    fn svg(&self, points: &[(f64, f64)]) -> String {
        let mut path = String::new();
        let mut marks = String::new();
        for (place, (x, y)) in points.iter().enumerate() {
            let _ = write!(path, "{}{x:.1} {y:.1}", if place == 0 { 'M' } else { 'L' });
            marks += &self.mark(*x, *y);
        }
        if path.is_empty() {
            path
        } else {
            format!("<path class=\"{}\" d=\"{path}\"/>{marks}\n", self.classes())
        }
    }

    /// The mark of a point, none where lines are dashed. Lines beyond the last colour have marks of another form.
    fn mark(&self, x: f64, y: f64) -> String {
        if self.dashed {
            return String::new();
        }
        let class = format!("class=\"mark{}\"", self.colour % COLOURS.len());
        match self.colour / COLOURS.len() % 3 {
            0 => format!("<circle {class} cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\"/>"),
            1 => format!("<path {class} d=\"M{:.1} {:.1}h7v7h-7z\"/>", x - 3.5, y - 3.5),
            _ => format!("<path {class} d=\"M{x:.1} {:.1}l4.5 8h-9z\"/>", y - 5.0),
        }
    }

    fn legend(&self, x: f64, y: f64) -> String {
        format!(
            "<path class=\"{}\" d=\"M{x} {y}h24\"/>{}<text x=\"{}\" y=\"{}\">{}</text>\n",
            self.classes(),
            self.mark(x + 12.0, y),
            x + 32.0,
            y + 4.0,
            escaped(&self.label)
        )
    }
}

/// A mark's number: as short as it can be told.
fn told(value: f64) -> String {
    let rounded = (value * 1e6).round() / 1e6;
    if rounded == 0.0 { "0".to_owned() } else { rounded.to_string() }
}

/// Text as XML takes it; what XML has no way to say is left out.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\n' | '\t' => out.push(' '),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(points: &[(f64, f64)]) -> Line {
        Line { label: "int8 <&> \"x\"".to_owned(), colour: 7, dashed: false, points: points.to_vec() }
    }

    fn plot(lines: Vec<Line>) -> Plot {
        let panel = Panel {
            title: "cpu:0\u{1}".to_owned(),
            x: "rows".to_owned(),
            y: "gain".to_owned(),
            x_scale: Scale::Logarithmic,
            y_scale: Scale::Linear,
            rule: Some(1.0),
            lines,
        };
        Plot { title: "a < b".to_owned(), panels: vec![panel] }
    }

    /// Every element that is opened is closed, in its order, and text holds nothing that XML forbids.
    fn assert_is_xml(text: &str) {
        let mut open = vec![];
        for part in text.split('<').skip(1) {
            let (tag, after) = part.split_once('>').unwrap();
            let bare = after
                .split('&')
                .skip(1)
                .all(|entity| ["amp;", "lt;", "gt;", "quot;"].iter().any(|known| entity.starts_with(known)));
            assert!(bare && !after.contains(|c: char| c.is_control() && c != '\n'), "{after:?}");
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name), "{text}");
            } else if !tag.ends_with('/') {
                open.push(tag.split(' ').next().unwrap());
            }
        }
        assert_eq!(open, Vec::<&str>::new());
    }

    #[test]
    fn the_file_is_sound_whatever_it_is_given() {
        let strange = [(0.0, 1.0), (-1.0, f64::NAN), (f64::INFINITY, 1e300), (4.0, 2.0)];
        for lines in [vec![], vec![line(&[])], vec![line(&strange)], vec![line(&[(1.0, 0.0)])]] {
            let svg = plot(lines).svg();
            assert_is_xml(&svg);
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            assert!(svg.contains("a &lt; b") && svg.contains("prefers-color-scheme:dark"), "{svg}");
        }
        let empty = Plot { title: String::new(), panels: vec![] }.svg();
        assert_is_xml(&empty);
        assert!(empty.contains("nothing was measured"));
    }

    #[test]
    fn no_two_lines_look_alike() {
        let looks = |colour: usize| Line { colour, ..line(&[(1.0, 1.0)]) }.legend(0.0, 0.0);
        let mut all: Vec<String> = (0..3 * COLOURS.len()).map(looks).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 3 * COLOURS.len());
    }

    #[test]
    fn points_lie_where_the_axes_say() {
        let svg = plot(vec![line(&[(1.0, 0.0), (8.0, 1.0), (64.0, 2.0)])]).svg();
        let (right, bottom) = (WIDTH - RIGHT, PANEL_HEIGHT - BOTTOM);
        // Equal factors are equally far apart, and the axis ends with the last point.
        let path = format!(
            "M{LEFT:.1} {bottom:.1}L{:.1} {:.1}L{right:.1} {TOP:.1}",
            f64::midpoint(LEFT, right),
            f64::midpoint(TOP, bottom)
        );
        assert!(svg.contains(&path), "{path}: {svg}");
        for mark in [">1<", ">8<", ">64<", ">0<", ">0.5<", ">1.5<", ">2<"] {
            assert!(svg.contains(mark), "{mark}: {svg}");
        }
    }

    #[test]
    fn marks_of_linear_axes_are_round_and_few() {
        for (most, count) in [(0.3, 3), (1.0, 5), (1.9, 4), (7.0, 4), (12.0, 3), (1000.0, 5)] {
            let axis = Axis::new(Scale::Linear, &[most], None, (0.0, 1.0));
            let marks = axis.marks(&[]);
            assert_eq!(marks.len(), count + 1, "{most}: {marks:?}");
            assert!(marks[count] >= most && axis.place(most) <= 1.0 + 1e-9);
        }
        let many: Vec<f64> = (1..100).map(f64::from).collect();
        let axis = Axis::new(Scale::Logarithmic, &many, None, (0.0, 1.0));
        assert!(axis.marks(&many).len() <= MOST_MARKS);
    }
}
