//! Judges what files name by a [`Law`].

use crate::scan::{Named, Scan, scan};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// All tables together; what each says stands beside it in `tests/floors.rs`.
pub(crate) struct Law {
    pub(crate) buildings: &'static [Building],
    pub(crate) strangers: &'static [Strangers],
    pub(crate) meetings: &'static [(&'static str, [&'static str; 2], &'static [&'static str])],
    pub(crate) limits: &'static [Limit],
    pub(crate) keeps: &'static [Keep],
    pub(crate) parents: &'static [Listed],
    pub(crate) atomics: &'static [Listed],
    pub(crate) unsafes: &'static [Listed],
    pub(crate) clocks: &'static [Listed],
}

/// The floors of one crate, the highest first.
pub(crate) struct Building {
    pub(crate) src: &'static str,
    pub(crate) floors: &'static [&'static str],
}

/// Two parts of which neither names the other, whatever floors they stand on.
pub(crate) struct Strangers {
    pub(crate) src: &'static str,
    pub(crate) parts: [&'static str; 2],
    pub(crate) why: &'static str,
}

/// A folder whose files name of one crate only this.
pub(crate) struct Limit {
    pub(crate) folder: &'static str,
    pub(crate) of: &'static str,
    pub(crate) only: &'static [&'static str],
    pub(crate) why: &'static str,
}

/// Folders whose files never name this.
pub(crate) struct Keep {
    pub(crate) folders: &'static [&'static str],
    pub(crate) out: &'static [&'static str],
    pub(crate) why: &'static str,
}

/// A file that may do what others may not, and why.
pub(crate) struct Listed {
    pub(crate) file: &'static str,
    pub(crate) why: &'static str,
}

/// One broken rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    file: String,
    line: usize,
    text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.text)
    }
}

impl Law {
    /// Every broken rule in `files`, which are (path from the root, text).
    pub(crate) fn judge(&self, files: &[(String, String)]) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut scans = BTreeMap::new();
        for (file, text) in files.iter().filter(|(file, _)| !is_test(file)) {
            match scan(text) {
                Ok(found) => drop(scans.insert(file.as_str(), found)),
                Err(line) => faults.push(Fault { file: file.clone(), line, text: "is not Rust from here".into() }),
            }
        }
        for building in self.buildings {
            building.judge(self, &scans, &mut faults);
        }
        for (&file, found) in &scans {
            self.judge_foreign_names(file, found, &mut faults);
        }
        judge_list(self.atomics, "an atomic ordering", &scans, atomic_lines, &mut faults);
        judge_list(self.unsafes, "`unsafe`", &scans, |found| found.unsafes.clone(), &mut faults);
        judge_list(self.clocks, "the system's clock or a sleep", &scans, clock_lines, &mut faults);
        faults.sort_by(|a, b| (&a.file, a.line, &a.text).cmp(&(&b.file, b.line, &b.text)));
        faults.dedup();
        faults
    }

    fn judge_foreign_names(&self, file: &str, found: &Scan, faults: &mut Vec<Fault>) {
        for named in &found.paths {
            let path = named.segments.join("::");
            let held = |limit: &&Limit| is_within(file, limit.folder) && named.segments[0] == limit.of;
            if let Some(limit) = self.limits.iter().filter(held).max_by_key(|limit| limit.folder.len()) {
                let rest = named.segments[1..].join("::");
                if !limit.only.iter().any(|allowed| starts_with(&rest, allowed)) {
                    let text = format!("names `{path}`: {} (allowed: {})", limit.why, limit.only.join(", "));
                    faults.push(Fault { file: file.into(), line: named.line, text });
                }
            }
            for keep in self.keeps.iter().filter(|keep| keep.folders.iter().any(|folder| is_within(file, folder))) {
                if keep.out.iter().any(|kept| starts_with(&path, kept)) {
                    let text = format!("names `{path}`: {}", keep.why);
                    faults.push(Fault { file: file.into(), line: named.line, text });
                }
            }
        }
    }
}

/// A module's path from its crate's root; the root's is empty.
type Module = Vec<String>;

impl Building {
    fn judge(&self, law: &Law, scans: &BTreeMap<&str, Scan>, faults: &mut Vec<Fault>) {
        let own = scans.iter().filter_map(|(&file, found)| Some((file, self.module(file)?, found)));
        let own: Vec<(&str, Module, &Scan)> = own.collect();
        let modules: BTreeSet<&Module> = own.iter().map(|(_, module, _)| module).collect();
        let mut listed_parents = BTreeSet::new();
        for (file, module, found) in &own {
            let mut fault = |line, text| faults.push(Fault { file: (*file).to_owned(), line, text });
            let Some(from) = self.place(module) else {
                fault(1, "stands on no floor: add it to the table in tests/floors.rs, where it belongs".into());
                continue;
            };
            let mut met: BTreeMap<&str, usize> = BTreeMap::new(); // the first line that names each part
            for named in &found.paths {
                let Some(target) = resolve(named, module, &modules) else { continue };
                let Some(to) = self.place(&target) else { continue };
                met.entry(to.word).or_insert(named.line);
                if is_parent(&target, module) && law.parents.iter().any(|listed| listed.file == *file) {
                    listed_parents.insert(*file);
                } else if let Some(what) = self.why_not(law, (module, from), (&target, to)) {
                    fault(named.line, format!("`{}` {what}", named.segments.join("::")));
                }
            }
            for (_, [one, other], places) in law.meetings.iter().filter(|(src, ..)| *src == self.src) {
                if let (Some(first), Some(second), false) = (met.get(one), met.get(other), places.contains(&from.word))
                {
                    fault(*first.max(second), format!("`{one}` and `{other}` meet only in: {}", places.join(", ")));
                }
            }
        }
        let gone = |listed: &&Listed| is_within(listed.file, self.src) && !listed_parents.contains(listed.file);
        faults.extend(law.parents.iter().filter(gone).map(|listed| stale(listed, "naming its parent")));
    }

    /// What is wrong with one module naming another, if anything is.
    fn why_not(&self, law: &Law, (module, from): (&Module, Place), (target, to): (&Module, Place)) -> Option<String> {
        if target.starts_with(module) {
            return None; // itself, or its own parts
        }
        if target.is_empty() {
            return Some("goes through the crate's root: name the file that defines it".into());
        }
        if is_parent(target, module) {
            return Some("names its parent: move what both need into a file beside this one".into());
        }
        if let Some(why) = law.why_strangers(self.src, from.word, to.word) {
            return Some(format!("is wrong here: `{}` and `{}` do not know each other: {why}", from.word, to.word));
        }
        let why = "what needs it stands too low, or it stands too high";
        (to.floor < from.floor).then(|| format!("points up, from `{}` to `{}`: {why}", from.word, to.word))
    }

    /// The module of a file of this crate.
    fn module(&self, file: &str) -> Option<Module> {
        let inner = file.strip_prefix(self.src)?.strip_prefix('/')?.strip_suffix(".rs")?;
        let mut module: Module = inner.split('/').map(str::to_owned).collect();
        if module.last().is_some_and(|last| last == "mod" || (module.len() == 1 && last == "lib")) {
            module.pop();
        }
        Some(module)
    }

    /// Where the table puts `module`.
    fn place(&self, module: &Module) -> Option<Place> {
        let path = if module.is_empty() { "lib".to_owned() } else { module.join("/") };
        let floors = self.floors.iter().enumerate();
        let places = floors.flat_map(|(floor, line)| line.split_whitespace().map(move |word| Place { floor, word }));
        places.filter(|place| is_within(&path, place.word)).max_by_key(|place| place.word.len())
    }
}

/// A floor, 0 being the highest, and the table's word on it.
#[derive(Clone, Copy)]
struct Place {
    floor: usize,
    word: &'static str,
}

/// Whether `target` is above `module` in the tree of modules, and not the crate's root.
fn is_parent(target: &Module, module: &Module) -> bool {
    !target.is_empty() && target.len() < module.len() && module.starts_with(target)
}

impl Law {
    fn why_strangers(&self, src: &str, one: &str, other: &str) -> Option<&'static str> {
        let pair = |strangers: &&Strangers| {
            strangers.src == src && (strangers.parts == [one, other] || strangers.parts == [other, one])
        };
        self.strangers.iter().find(pair).map(|strangers| strangers.why)
    }
}

/// The module of this crate that `named` reaches into; `None` for other crates' and for macros at the root.
fn resolve(named: &Named, module: &Module, modules: &BTreeSet<&Module>) -> Option<Module> {
    let mut segments = &named.segments[..];
    let mut at: Module = match segments[0].as_str() {
        "crate" => Module::new(),
        "self" | "super" => [&module[..], &named.inside[..]].concat(),
        _ => return None,
    };
    while let Some((first, rest)) = segments.split_first() {
        match first.as_str() {
            "crate" | "self" => {}
            "super" => drop(at.pop()),
            _ => break,
        }
        segments = rest;
    }
    at.extend_from_slice(segments);
    while !modules.contains(&at) && !at.is_empty() {
        at.pop();
    }
    (!at.is_empty() || !named.is_macro).then_some(at)
}

/// Files that are not on `list` must not do it; files that are on it must, or the list has gone stale.
fn judge_list(
    list: &[Listed],
    what: &str,
    scans: &BTreeMap<&str, Scan>,
    lines: impl Fn(&Scan) -> Vec<usize>,
    faults: &mut Vec<Fault>,
) {
    for (&file, found) in scans {
        let lines = lines(found);
        if let (Some(&first), false) = (lines.first(), list.iter().any(|listed| listed.file == file)) {
            let count = lines.len();
            let text = format!("{what} ({count} in all) stands only in the files listed for it in tests/floors.rs");
            faults.push(Fault { file: file.into(), line: first, text });
        }
    }
    for listed in list {
        if scans.get(listed.file).is_none_or(|found| lines(found).is_empty()) {
            faults.push(stale(listed, what));
        }
    }
}

fn stale(listed: &Listed, what: &str) -> Fault {
    let text = format!("is listed for {what} (\"{}\") but has none: take it off the list", listed.why);
    Fault { file: listed.file.into(), line: 1, text }
}

fn atomic_lines(found: &Scan) -> Vec<usize> {
    const ORDERINGS: &[&str] = &["Relaxed", "Acquire", "Release", "AcqRel", "SeqCst", "*"];
    let is_atomic = |named: &&Named| {
        named.segments.windows(2).any(|pair| match [pair[0].as_str(), pair[1].as_str()] {
            ["atomic", "Ordering" | "*"] => true,
            ["Ordering", ordering] => ORDERINGS.contains(&ordering),
            _ => false,
        })
    };
    found.paths.iter().filter(is_atomic).map(|named| named.line).collect()
}

fn clock_lines(found: &Scan) -> Vec<usize> {
    let asks = |named: &&Named| {
        let [.., owner, verb] = &named.segments[..] else { return false };
        matches!([owner.as_str(), verb.as_str()], ["Instant" | "SystemTime", "now"] | ["thread", "sleep"])
    };
    found.paths.iter().filter(asks).map(|named| named.line).collect()
}

/// Test code by its file's name or its folder's.
fn is_test(file: &str) -> bool {
    let mut parts = file.rsplit('/');
    parts.next().is_some_and(|name| name == "tests.rs" || name == "loom_tests.rs")
        || parts.any(|part| part == "tests" || part == "testing")
}

/// Whether `path` is `folder`, or lies below it.
fn is_within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || rest == ".rs")
}

fn starts_with(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}
