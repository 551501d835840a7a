//! One row of the result: a contestant, its figure, and perhaps the promise it has to keep against another.

use crate::samples::{NOISY_SPREAD, Samples};
use std::fmt::Write;

/// A contestant's figure over all rounds.
#[derive(Clone, Debug)]
pub struct Row {
    /// The question it belongs to.
    pub question: char,
    /// Who was measured, at what.
    pub what: String,
    /// What `samples` counts.
    pub unit: &'static str,
    /// One figure a round.
    pub samples: Samples,
    /// Other figures, each with the unit in its name.
    pub more: Vec<(&'static str, f64)>,
    /// What it was compared with.
    pub promises: Vec<Promise>,
}

/// A ratio between two contestants, and its bound.
#[derive(Clone, Debug)]
pub struct Promise {
    /// The ratio in words.
    pub ratio_of: String,
    /// One ratio a round.
    pub ratio: Samples,
    /// What it must be.
    pub bound: Bound,
}

/// The bound of a ratio.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Bound::AtLeast(bound) => value >= bound,
            Bound::AtMost(bound) => value <= bound,
        }
    }

    fn text(self) -> String {
        match self {
            Bound::AtLeast(bound) => format!(">= {bound}"),
            Bound::AtMost(bound) => format!("<= {bound}"),
        }
    }
}

impl Promise {
    /// Whether the median ratio is within the bound.
    #[must_use]
    pub fn kept(&self) -> bool {
        self.bound.holds(self.ratio.median())
    }
}

impl Row {
    fn is_noisy(&self) -> bool {
        self.samples.spread() > NOISY_SPREAD
    }

    /// The row for people: a line, and one more for each promise.
    #[must_use]
    pub fn to_text(&self) -> String {
        let noisy = if self.is_noisy() { "  NOISY" } else { "" };
        let mut text = format!(
            "{}  {:<52} {:>12} {:<20} spread {:>3.0} %{noisy}",
            self.question,
            self.what,
            figure(self.samples.median()),
            self.unit,
            self.samples.spread() * 100.0,
        );
        for (name, value) in &self.more {
            let _ = write!(text, "  {name} {value:.1}");
        }
        for promise in &self.promises {
            let verdict = if promise.kept() { "kept" } else { "BROKEN" };
            let noisy = if promise.ratio.spread() > NOISY_SPREAD { "  NOISY" } else { "" };
            let _ = write!(
                text,
                "\n     {:<49} {:>12.2} {:<20} spread {:>3.0} %{noisy}  {verdict}",
                promise.ratio_of,
                promise.ratio.median(),
                format!("must be {}", promise.bound.text()),
                promise.ratio.spread() * 100.0,
            );
        }
        text
    }

    /// The row for programs: one JSON object on one line.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut fields = vec![
            format!("\"question\":\"{}\"", self.question),
            format!("\"what\":{:?}", self.what),
            format!("\"unit\":\"{}\"", self.unit),
            format!("\"median\":{}", number(self.samples.median())),
            format!("\"spread\":{}", number(self.samples.spread())),
            format!("\"rounds\":{}", self.samples.rounds()),
            format!("\"noisy\":{}", self.is_noisy()),
        ];
        fields.extend(self.more.iter().map(|(name, value)| format!("\"{name}\":{}", number(*value))));
        let promises: Vec<_> = self.promises.iter().map(promise_json).collect();
        fields.push(format!("\"promises\":[{}]", promises.join(",")));
        format!("{{{}}}", fields.join(","))
    }
}

/// Rows for a document.
#[must_use]
pub fn markdown(rows: &[Row]) -> String {
    let mut text = String::from("| | work | figure | spread | bounds |\n|---|---|---:|---:|---|\n");
    for row in rows {
        let mut verdicts: Vec<_> = row.promises.iter().map(promise_text).collect();
        verdicts.extend(row.more.iter().map(|(name, value)| format!("{name} {}", figure(*value))));
        let noisy = if row.is_noisy() { " NOISY" } else { "" };
        let _ = writeln!(
            text,
            "| {} | {} | {} {} | {:.0} %{noisy} | {} |",
            row.question,
            row.what,
            figure(row.samples.median()),
            row.unit,
            row.samples.spread() * 100.0,
            verdicts.join("; "),
        );
    }
    text
}

fn promise_text(promise: &Promise) -> String {
    let verdict = if promise.kept() { "kept" } else { "BROKEN" };
    format!("{} {} {}: {verdict}", promise.ratio_of, figure(promise.ratio.median()), promise.bound.text())
}

fn promise_json(promise: &Promise) -> String {
    format!(
        "{{\"ratio_of\":{:?},\"median\":{},\"spread\":{},\"bound\":\"{}\",\"kept\":{}}}",
        promise.ratio_of,
        number(promise.ratio.median()),
        number(promise.ratio.spread()),
        promise.bound.text(),
        promise.kept()
    )
}

/// JSON has no word for what is not a number.
fn number(value: f64) -> String {
    if value.is_finite() { format!("{value:.4}") } else { "null".to_owned() }
}

/// `value` with two digits behind the point where it is small.
fn figure(value: f64) -> String {
    if value < 100.0 { format!("{value:.2}") } else { grouped(value) }
}

/// `value` without a fraction, its thousands apart.
#[must_use]
pub fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ratio: f64) -> Row {
        let promise = Promise {
            ratio_of: "ours / theirs".to_owned(),
            ratio: [ratio].into_iter().collect(),
            bound: Bound::AtLeast(5.0),
        };
        Row {
            question: 'a',
            what: "ours".to_owned(),
            unit: "requests/s",
            samples: [1_234_567.0, 1_234_567.0].into_iter().collect(),
            more: vec![("p50_us", 1.5)],
            promises: vec![promise],
        }
    }

    #[test]
    fn people_see_the_verdict() {
        let text = row(4.0).to_text();
        assert!(text.contains("1,234,567") && text.contains("BROKEN") && !text.contains("NOISY"), "{text}");
        assert!(row(5.0).to_text().contains("kept"));
    }

    #[test]
    fn a_document_has_a_line_for_each() {
        let text = markdown(&[row(4.0)]);
        let line = "| a | ours | 1,234,567 requests/s | 0 % | ours / theirs 4.00 >= 5: BROKEN; p50_us 1.50 |\n";
        assert!(text.ends_with(line), "{text}");
    }

    #[test]
    fn programs_see_one_object() {
        assert_eq!(
            row(6.0).to_json(),
            "{\"question\":\"a\",\"what\":\"ours\",\"unit\":\"requests/s\",\"median\":1234567.0000,\"spread\":0.0000,\
             \"rounds\":2,\"noisy\":false,\"p50_us\":1.5000,\"promises\":[{\"ratio_of\":\"ours / theirs\",\
             \"median\":6.0000,\"spread\":0.0000,\"bound\":\">= 5\",\"kept\":true}]}"
        );
        assert_eq!(number(f64::NAN), "null");
    }
}
