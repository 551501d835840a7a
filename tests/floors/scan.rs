//! What a source file names: its paths, with those in braces spread out, and where it says `unsafe`.
//!
//! Works on tokens rather than on the syntax tree, because tokens are also what stands inside macros. Comments and
//! strings are no tokens of interest, so they can not raise an alarm.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// What was found in one file.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) paths: Vec<Named>,
    /// The lines that say `unsafe`.
    pub(crate) unsafes: Vec<usize>,
}

/// A path of at least two segments, such as `crate::park::Parker`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) line: usize,
    pub(crate) segments: Vec<String>,
    /// The modules written out in this file (`mod name { .. }`) around it.
    pub(crate) inside: Vec<String>,
    /// It is called as `path!(..)`. Macros live at the crate root, wherever they are written.
    pub(crate) is_macro: bool,
}

/// Reads `text`. The error is the line at which it stops being Rust.
pub(crate) fn scan(text: &str) -> Result<Scan, usize> {
    let tokens: TokenStream = text.parse().map_err(|error: proc_macro2::LexError| error.span().start().line)?;
    let mut scanner = Scanner::default();
    scanner.walk(tokens);
    Ok(scanner.found)
}

#[derive(Default)]
struct Scanner {
    found: Scan,
    inside: Vec<String>,
}

impl Scanner {
    fn walk(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            at = self.step(&tokens, at);
        }
    }

    /// Looks at what begins at `at`; returns where the next thing begins.
    fn step(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        if let Some((attribute, after)) = attribute(tokens, at) {
            return match (is_test_only(attribute), is_punct(tokens, at + 1, '!')) {
                (true, true) => tokens.len(),
                (true, false) => after_item(tokens, after),
                (false, _) => after,
            };
        }
        match &tokens[at] {
            // `$crate`: what a macro names for its users.
            TokenTree::Punct(punct) if punct.as_char() == '$' => at + 2,
            TokenTree::Group(group) if is_visibility(group) => at + 1,
            TokenTree::Group(group) => {
                self.walk(group.stream());
                at + 1
            }
            TokenTree::Ident(ident) if ident == "unsafe" => {
                self.found.unsafes.push(ident.span().start().line);
                at + 1
            }
            TokenTree::Ident(ident) if ident == "mod" => match (tokens.get(at + 1), tokens.get(at + 2)) {
                (Some(TokenTree::Ident(name)), Some(TokenTree::Group(body))) => {
                    self.inside.push(name.to_string());
                    self.walk(body.stream());
                    self.inside.pop();
                    at + 3
                }
                _ => at + 1,
            },
            TokenTree::Ident(_) => self.path(tokens, at, &[]),
            _ => at + 1,
        }
    }

    /// Reads the path that begins at `at`, below `prefix`, and all of its branches.
    fn path(&mut self, tokens: &[TokenTree], mut at: usize, prefix: &[String]) -> usize {
        let line = tokens[at].span().start().line;
        let mut segments = prefix.to_vec();
        loop {
            match tokens.get(at) {
                Some(TokenTree::Ident(ident)) if ident == "self" && !segments.is_empty() => at += 1,
                Some(TokenTree::Ident(ident)) => {
                    segments.push(ident.to_string().trim_start_matches("r#").to_owned());
                    at += 1;
                }
                Some(TokenTree::Punct(punct)) if punct.as_char() == '*' => {
                    segments.push("*".to_owned());
                    at += 1;
                }
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                    self.branches(group, &segments);
                    return at + 1;
                }
                // `::<`: the path ends here, and what stands in the angle brackets is looked at like all else.
                _ => break,
            }
            if !(is_punct(tokens, at, ':') && is_punct(tokens, at + 1, ':')) {
                break;
            }
            at += 2;
        }
        if segments.len() > 1 {
            let is_macro = is_punct(tokens, at, '!') && matches!(tokens.get(at + 1), Some(TokenTree::Group(_)));
            self.found.paths.push(Named { line, segments, inside: self.inside.clone(), is_macro });
        }
        at
    }

    /// `{a, b::c as d, self, *}` after a path.
    fn branches(&mut self, group: &Group, prefix: &[String]) {
        let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            at = match &tokens[at] {
                TokenTree::Punct(punct) if punct.as_char() == ',' => at + 1,
                TokenTree::Ident(ident) if ident == "as" => at + 2,
                _ => self.path(&tokens, at, prefix).max(at + 1),
            };
        }
    }
}

fn is_punct(tokens: &[TokenTree], at: usize, wanted: char) -> bool {
    matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

/// The brackets of the attribute that begins at `at`, and where it ends.
fn attribute(tokens: &[TokenTree], at: usize) -> Option<(&Group, usize)> {
    if !is_punct(tokens, at, '#') {
        return None;
    }
    let at = if is_punct(tokens, at + 1, '!') { at + 2 } else { at + 1 };
    match tokens.get(at) {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Bracket => Some((group, at + 1)),
        _ => None,
    }
}

/// `pub(in some::path)`: says who may see it, imports nothing.
fn is_visibility(group: &Group) -> bool {
    let first = group.stream().into_iter().next();
    group.delimiter() == Delimiter::Parenthesis && matches!(first, Some(TokenTree::Ident(ident)) if ident == "in")
}

/// `[cfg(test)]` or `[cfg(all(.., test, ..))]`. Not `any`, which may hold outside tests, nor `not`.
fn is_test_only(attribute: &Group) -> bool {
    let tokens: Vec<TokenTree> = attribute.stream().into_iter().collect();
    match &tokens[..] {
        [TokenTree::Ident(cfg), TokenTree::Group(predicate)] if cfg == "cfg" => implies_test(predicate),
        _ => false,
    }
}

fn implies_test(predicates: &Group) -> bool {
    let tokens: Vec<TokenTree> = predicates.stream().into_iter().collect();
    tokens.iter().enumerate().any(|(at, token)| match (token, tokens.get(at + 1)) {
        (TokenTree::Ident(all), Some(TokenTree::Group(inner))) if all == "all" => implies_test(inner),
        (TokenTree::Ident(test), next) => test == "test" && !matches!(next, Some(TokenTree::Group(_))),
        _ => false,
    })
}

/// Where the item that begins at `at` ends: after its braces or its semicolon; a field, variant or arm at its comma.
fn after_item(tokens: &[TokenTree], mut at: usize) -> usize {
    while let Some((_, after)) = attribute(tokens, at) {
        at = after;
    }
    const ITEMS: &[&str] = &[
        "async", "const", "enum", "extern", "fn", "impl", "let", "mod", "static", "struct", "trait", "type", "union",
        "unsafe", "use",
    ];
    let mut start = at;
    if matches!(tokens.get(start), Some(TokenTree::Ident(ident)) if ident == "pub") {
        start += 1;
        start += usize::from(matches!(tokens.get(start), Some(TokenTree::Group(_))));
    }
    let is_item = matches!(tokens.get(start), Some(TokenTree::Ident(word)) if ITEMS.iter().any(|item| word == item));
    while let Some(token) = tokens.get(at) {
        at += 1;
        match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => return at,
            TokenTree::Punct(punct) if punct.as_char() == ';' => return at,
            TokenTree::Punct(punct) if punct.as_char() == ',' && !is_item => return at,
            _ => {}
        }
    }
    at
}
