//! The looks: a colour for each kind of waiting, a stroke for each variety of it.

use crate::model::Model;

/// How a model is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// The number of its colour.
    pub(crate) colour: usize,
    pub(crate) stroke: Stroke,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stroke {
    Solid,
    Dashed,
    Dotted,
}

impl Stroke {
    pub(crate) fn class(self) -> &'static str {
        match self {
            Stroke::Solid => "",
            Stroke::Dashed => " dashed",
            Stroke::Dotted => " dotted",
        }
    }
}

/// The look of a model, the same in every chart and on both networks.
pub(crate) fn of(model: &Model) -> Look {
    let (colour, stroke) = match model.name {
        "blocking" => (0, Stroke::Solid),
        "select" => (1, Stroke::Solid),
        "poll" => (1, Stroke::Dashed),
        "epoll-lt" => (2, Stroke::Solid),
        "epoll-et" => (2, Stroke::Dashed),
        "sigio" => (3, Stroke::Solid),
        "completion" => (4, Stroke::Solid),
        "wakeline-ct" => (5, Stroke::Solid),
        "wakeline-mt" => (5, Stroke::Dashed),
        "wakeline-one" => (5, Stroke::Dotted),
        "tokio-ct" => (6, Stroke::Solid),
        "tokio-mt" => (6, Stroke::Dashed),
        "smol-mt" => (7, Stroke::Dashed),
        _ => (7, Stroke::Solid),
    };
    Look { colour, stroke }
}

/// For the page and for each picture: what is dark follows the reader's choice.
pub(crate) const COLOURS: &str = "\
:root{color-scheme:light dark;--ink:#1c1e21;--soft:#5c6370;--line:#d7dae0;--paper:#fff;--panel:#f5f6f8;\
--c0:#c8281e;--c1:#b86a00;--c2:#15803d;--c3:#8b3fd1;--c4:#0e7c86;--c5:#1d5fd6;--c6:#c0267a;--c7:#6b7280}
@media(prefers-color-scheme:dark){:root{--ink:#e6e8eb;--soft:#a2a9b4;--line:#3a3f47;--paper:#15171a;--panel:#1e2126;\
--c0:#ff7b72;--c1:#f0a63c;--c2:#4cc774;--c3:#c594ff;--c4:#43c6d1;--c5:#6ea8ff;--c6:#ff86c0;--c7:#a5adb8}}
";

/// What a picture needs beside the colours.
pub(crate) const CHART: &str = "\
.chart text{font:12px system-ui,sans-serif;fill:var(--ink)}.chart .soft{fill:var(--soft)}\
.chart .axis{stroke:var(--soft);stroke-width:1}.chart .grid{stroke:var(--line);stroke-width:1}\
.chart .series{fill:none;stroke-width:2;stroke-linejoin:round}.chart .dashed{stroke-dasharray:6 4}.chart .dotted{stroke-dasharray:2 3}
";
