//! Charts as SVG: lines over the number of connections, and bars. A chart is drawn for a width, so that its letters have the
//! same size on every screen.

use super::look::{CHART, COLOURS, Look};
use crate::table::{escaped, number};
use std::fmt::Write as _;

/// A chart that can be drawn.
#[derive(Debug)]
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) body: Body,
}

#[derive(Debug)]
pub(crate) enum Body {
    /// Both axes are logarithmic; `x` is in `ticks`.
    Lines {
        ticks: Vec<f64>,
        x_title: String,
        series: Vec<Series>,
    },
    Bars(Vec<Bar>),
}

#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) look: Look,
    /// In the order of x; the last word is what stands beside a point's value.
    pub(crate) points: Vec<(f64, f64, &'static str)>,
}

#[derive(Debug)]
pub(crate) struct Bar {
    pub(crate) name: String,
    pub(crate) look: Look,
    /// Parts that are stacked, each with its name; or why there are none.
    pub(crate) parts: Result<Vec<(String, f64)>, String>,
    pub(crate) is_noisy: bool,
}

/// For screens and for files; for telephones.
pub(crate) const WIDE: f64 = 1000.0;
pub(crate) const NARROW: f64 = 340.0;

const FONT: f64 = 12.0;
/// About the width of a letter.
const LETTER: f64 = 6.6;

impl Chart {
    /// Whether there is anything in it.
    pub(crate) fn is_empty(&self) -> bool {
        match &self.body {
            Body::Lines { series, .. } => series.iter().all(|series| series.points.is_empty()),
            Body::Bars(bars) => bars.iter().all(|bar| bar.parts.is_err()),
        }
    }

    /// An element of a page that has the styles.
    pub(crate) fn to_svg(&self, width: f64) -> String {
        let (height, inside) = match &self.body {
            Body::Lines { ticks, x_title, series } => lines(ticks, x_title, series, width),
            Body::Bars(bars) => draw_bars(bars, width),
        };
        format!(
            "<svg class=\"chart\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height:.0}\" width=\"{width}\" \
             height=\"{height:.0}\" role=\"img\" aria-label=\"{}\">{inside}</svg>",
            escaped(&self.title)
        )
    }

    /// A file of its own.
    pub(crate) fn to_file(&self, width: f64) -> String {
        let svg = self.to_svg(width);
        let head = svg.find('>').map_or(0, |at| at + 1);
        let style = format!("<style>{COLOURS}{CHART}svg{{background:var(--paper)}}</style>");
        format!("{}{style}{}\n", &svg[..head], &svg[head..])
    }
}

/// A value's place between `from` and `to` on a logarithmic scale.
struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    fn at(&self, value: f64) -> f64 {
        let part = (value.log10() - self.low.log10()) / (self.high.log10() - self.low.log10());
        self.from + part * (self.to - self.from)
    }
}

/// The decades around all values, halved where there is only one.
fn bounds(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let low = values.clone().fold(f64::INFINITY, f64::min);
    let high = values.fold(0.0, f64::max);
    let below = STEPS.into_iter().rev().map(|step| step * decade(low)).find(|&tick| tick <= low).unwrap_or(low);
    let above =
        STEPS.into_iter().map(|step| step * decade(high)).find(|&tick| tick >= high).unwrap_or(decade(high) * 10.0);
    if below < above { (below, above) } else { (below, above * 2.0) }
}

const STEPS: [f64; 3] = [1.0, 2.0, 5.0];

fn decade(value: f64) -> f64 {
    10_f64.powf(value.log10().floor())
}

/// 1, 2, 5, 10, ..; only the decades when there are many.
fn ticks_between(low: f64, high: f64) -> Vec<f64> {
    let steps: &[f64] = if high / low > 300.0 { &STEPS[..1] } else { &STEPS };
    let mut ticks = Vec::new();
    let mut from = decade(low);
    while from <= high {
        ticks.extend(steps.iter().map(|step| step * from).filter(|tick| (low * 0.999..=high * 1.001).contains(tick)));
        from *= 10.0;
    }
    ticks
}

/// 20k, 1.5M.
fn short(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{}M", trimmed(v / 1e6)),
        v if v >= 1e3 => format!("{}k", trimmed(v / 1e3)),
        v => trimmed(v),
    }
}

fn trimmed(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn lines(ticks: &[f64], x_title: &str, series: &[Series], width: f64) -> (f64, String) {
    let drawn: Vec<&Series> = series.iter().filter(|series| !series.points.is_empty()).collect();
    let values = drawn.iter().flat_map(|series| series.points.iter().map(|point| point.1));
    let (Some(&first), Some(&last)) = (ticks.first(), ticks.last()) else { return (FONT, String::new()) };
    if drawn.is_empty() {
        return (FONT, String::new());
    }
    let (low, high) = bounds(values);
    let (left, right, top) = (46.0, width - 16.0, 12.0);
    let bottom = top + if width < WIDE { 230.0 } else { 300.0 };
    let y = Scale { low, high, from: bottom, to: top };
    let x =
        Scale { low: first, high: if last > first { last } else { first * 2.0 }, from: left + 12.0, to: right - 12.0 };
    let mut svg = String::new();
    for tick in ticks_between(low, high) {
        let at = y.at(tick);
        let _ = write!(svg, "<line class=\"grid\" x1=\"{left}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>");
        let _ = write!(
            svg,
            "<text class=\"soft\" text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            left - 6.0,
            at + 4.0,
            short(tick)
        );
    }
    let mut free_from = 0.0;
    for &tick in ticks {
        let (at, label) = (x.at(tick), short(tick));
        let _ = write!(
            svg,
            "<line class=\"axis\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{bottom}\" y2=\"{:.1}\"/>",
            bottom + 4.0
        );
        let half = label.len() as f64 * LETTER / 2.0;
        if at - half >= free_from {
            let _ = write!(
                svg,
                "<text class=\"soft\" text-anchor=\"middle\" x=\"{at:.1}\" y=\"{:.1}\">{label}</text>",
                bottom + 18.0
            );
            free_from = at + half + 4.0;
        }
    }
    let _ = write!(svg, "<line class=\"axis\" x1=\"{left}\" x2=\"{right}\" y1=\"{bottom}\" y2=\"{bottom}\"/>");
    let _ = write!(
        svg,
        "<text class=\"soft\" text-anchor=\"middle\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
        f64::midpoint(left, right),
        bottom + 36.0,
        escaped(x_title)
    );
    for series in &drawn {
        draw_series(&mut svg, series, &x, &y);
    }
    let height = legend(&mut svg, &drawn, bottom + 52.0, width);
    (height, svg)
}

fn draw_series(svg: &mut String, series: &Series, x: &Scale, y: &Scale) {
    let place = |(at, value, _): &(f64, f64, &str)| format!("{:.1},{:.1}", x.at(*at), y.at(*value));
    let places: Vec<_> = series.points.iter().map(place).collect();
    let Look { colour, stroke } = series.look;
    let _ = write!(
        svg,
        "<polyline class=\"series{}\" style=\"stroke:var(--c{colour})\" points=\"{}\"/>",
        stroke.class(),
        places.join(" ")
    );
    for point in &series.points {
        let (at, value, remark) = *point;
        let _ = write!(
            svg,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" style=\"fill:var(--c{colour})\"><title>{}, {}: {}{remark}</title></circle>",
            x.at(at),
            y.at(value),
            escaped(&series.name),
            short(at),
            number(value),
        );
    }
}

/// A line and a name for each series, in as many columns as there is room for; gives the height at which it ends.
fn legend(svg: &mut String, series: &[&Series], top: f64, width: f64) -> f64 {
    let longest = series.iter().map(|series| series.name.chars().count()).max().unwrap_or(1) as f64;
    let column = longest * LETTER + 40.0;
    let columns = ((width - 8.0) / column).floor().max(1.0) as usize;
    let rows = series.len().div_ceil(columns);
    for (number, series) in series.iter().enumerate() {
        let (x, y) = (8.0 + (number / rows) as f64 * column, top + (number % rows) as f64 * 18.0);
        let Look { colour, stroke } = series.look;
        let _ = write!(
            svg,
            "<line class=\"series{}\" style=\"stroke:var(--c{colour})\" x1=\"{x:.1}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            stroke.class(),
            x + 24.0,
            x + 30.0,
            y + 4.0,
            escaped(&series.name)
        );
    }
    top + rows as f64 * 18.0
}

/// A name above each bar, its value behind it.
fn draw_bars(bars: &[Bar], width: f64) -> (f64, String) {
    let total = |bar: &Bar| bar.parts.as_ref().map_or(0.0, |parts| parts.iter().map(|part| part.1).sum::<f64>());
    let highest = bars.iter().map(total).fold(0.0, f64::max);
    let room = width - 90.0;
    let mut svg = String::new();
    let row = 38.0;
    for (number_of, bar) in bars.iter().enumerate() {
        let y = number_of as f64 * row;
        let _ = write!(svg, "<text x=\"0\" y=\"{:.1}\">{}</text>", y + 13.0, escaped(&bar.name));
        let parts = match &bar.parts {
            Ok(parts) => parts,
            Err(why) => {
                let most = (width / LETTER) as usize;
                let why: String = why.chars().take(most).collect();
                let _ = write!(svg, "<text class=\"soft\" x=\"0\" y=\"{:.1}\">{}</text>", y + 29.0, escaped(&why));
                continue;
            }
        };
        let mut from = 0.0;
        for (at, (name, value)) in parts.iter().enumerate() {
            let length = if highest > 0.0 { value / highest * room } else { 0.0 };
            let _ = write!(
                svg,
                "<rect x=\"{from:.1}\" y=\"{:.1}\" width=\"{length:.1}\" height=\"14\" style=\"fill:var(--c{});fill-opacity:{}\">\
                 <title>{}: {name} {}</title></rect>",
                y + 18.0,
                bar.look.colour,
                [1.0, 0.55, 0.8, 0.4][at % 4],
                escaped(&bar.name),
                number(*value),
            );
            from += length;
        }
        let noisy = if bar.is_noisy { " ?" } else { "" };
        let _ = write!(svg, "<text x=\"{:.1}\" y=\"{:.1}\">{}{noisy}</text>", from + 6.0, y + 29.0, number(total(bar)));
    }
    (bars.len() as f64 * row, svg)
}

#[cfg(test)]
mod tests {
    use super::super::look::Stroke;
    use super::*;

    #[test]
    fn an_axis_goes_around_all_values() {
        let check = |values: &[f64], low: f64, high: f64| {
            let (below, above) = bounds(values.iter().copied());
            assert!(
                (below / low - 1.0).abs() < 1e-9 && (above / high - 1.0).abs() < 1e-9,
                "{values:?} {below} {above}"
            );
        };
        check(&[12.0, 48.0], 10.0, 50.0);
        check(&[0.3, 9_000.0], 0.2, 10_000.0);
        check(&[1.0], 1.0, 2.0);
        assert_eq!(ticks_between(10.0, 50.0), [10.0, 20.0, 50.0]);
        assert_eq!(ticks_between(1.0, 1000.0), [1.0, 10.0, 100.0, 1000.0]);
        assert_eq!([short(20_000.0), short(4096.0), short(1.5e6), short(0.2)], ["20k", "4.096k", "1.5M", "0.2"]);
    }

    #[test]
    fn a_value_has_its_place() {
        let scale = Scale { low: 1.0, high: 100.0, from: 0.0, to: 200.0 };
        assert_eq!([scale.at(1.0), scale.at(10.0), scale.at(100.0)], [0.0, 100.0, 200.0]);
    }

    #[test]
    fn what_is_written_in_a_picture_can_not_break_it() {
        let look = Look { colour: 0, stroke: Stroke::Solid };
        let series = Series { name: "a<b & \"c\"".to_owned(), look, points: vec![(1.0, 2.0, "")] };
        let chart = Chart {
            title: "t<".to_owned(),
            body: Body::Lines { ticks: vec![1.0], x_title: "x".to_owned(), series: vec![series] },
        };
        let file = chart.to_file(WIDE);
        assert!(
            file.contains("a&lt;b &amp; &quot;c&quot;") && !file.contains("a<b") && !file.contains("NaN"),
            "{file}"
        );
    }
}
