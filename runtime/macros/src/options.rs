//! The attribute's arguments: text in, a checked [`Options`] out, and for each mistake an error that points at it.

use crate::expand::Kind;
use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident};
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Error, Expr, ExprLit, Ident, Lit, LitBool, LitStr, Meta, Path, Result, Token};

/// What the arguments say, with the defaults filled in.
pub(crate) struct Options {
    pub(crate) flavor: Flavor,
    /// `None`: as many as the builder finds right. Never 0, and never given with [`Flavor::CurrentThread`].
    pub(crate) worker_threads: Option<usize>,
    /// Whether the clock stands from the beginning. Only with one worker.
    pub(crate) start_paused: Option<LitBool>,
    /// The variant of `UnhandledPanic`. Only with one worker.
    pub(crate) unhandled_panic: Option<Ident>,
    /// The runtime's name.
    pub(crate) name: Option<LitStr>,
    /// Where wakeline is found.
    pub(crate) krate: Path,
}

/// Which kind of runtime is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavor {
    CurrentThread,
    Local,
    MultiThread,
}

const ALLOWED: &str = "allowed are `flavor = \"current_thread\"`, `\"local\"` or `\"multi_thread\"`, `worker_threads = N`, \
                       `start_paused = true`, `unhandled_panic = \"ignore\"` or `\"shutdown_runtime\"`, `name = \"..\"` and `crate = path`";

const NAMES: &[&str] = &["flavor", "worker_threads", "start_paused", "unhandled_panic", "name", "crate"];

impl Options {
    /// What holds when no argument is given.
    pub(crate) fn default_of(kind: Kind) -> Options {
        let flavor = match kind {
            Kind::Main => Flavor::MultiThread,
            Kind::Test => Flavor::CurrentThread,
        };
        Options {
            flavor,
            worker_threads: None,
            start_paused: None,
            unhandled_panic: None,
            name: None,
            krate: syn::parse_quote!(::wakeline),
        }
    }

    /// Reads the arguments. Every mistake in them is reported, not just the first.
    pub(crate) fn parse(kind: Kind, arguments: TokenStream) -> Result<Options> {
        let arguments = Punctuated::<Meta, Token![,]>::parse_terminated.parse2(arguments)?;
        let mut given = Given::default();
        let mut mistakes = Mistakes::default();
        for argument in &arguments {
            mistakes.note(given.take(argument));
        }
        mistakes.finish()?;
        given.check(kind)
    }
}

/// The arguments as they were found, each with the place to point at.
#[derive(Default)]
struct Given {
    flavor: Option<(Flavor, Span)>,
    worker_threads: Option<(usize, Span)>,
    start_paused: Option<(LitBool, Span)>,
    unhandled_panic: Option<(Ident, Span)>,
    name: Option<(LitStr, Span)>,
    krate: Option<(Path, Span)>,
}

impl Given {
    fn take(&mut self, argument: &Meta) -> Result<()> {
        let name = argument.path().get_ident().map(ToString::to_string).unwrap_or_default();
        if !NAMES.contains(&name.as_str()) {
            let shown = argument.path().to_token_stream().to_string().replace(' ', "");
            return Err(Error::new_spanned(argument.path(), format!("unknown argument `{shown}`: {ALLOWED}")));
        }
        let Meta::NameValue(argument) = argument else {
            return Err(Error::new_spanned(argument, format!("`{name}` needs a value: {ALLOWED}")));
        };
        let at = argument.span();
        match name.as_str() {
            "flavor" => set(&mut self.flavor, &name, (flavor(&argument.value)?, at)),
            "worker_threads" => set(&mut self.worker_threads, &name, (worker_threads(&argument.value)?, at)),
            "start_paused" => set(&mut self.start_paused, &name, (start_paused(&argument.value)?, at)),
            "unhandled_panic" => set(&mut self.unhandled_panic, &name, (unhandled_panic(&argument.value)?, at)),
            "name" => set(&mut self.name, &name, (runtime_name(&argument.value)?, at)),
            _ => set(&mut self.krate, &name, (path(&argument.value)?, at)),
        }
    }

    /// What no argument can tell alone: whether they fit together.
    fn check(self, kind: Kind) -> Result<Options> {
        let mut options = Options::default_of(kind);
        let flavor_given = self.flavor.is_some();
        if let Some((flavor, _)) = self.flavor {
            options.flavor = flavor;
        }
        if let Some((krate, _)) = self.krate {
            options.krate = krate;
        }
        if let Some((count, at)) = self.worker_threads {
            if options.flavor != Flavor::MultiThread {
                let why = if flavor_given {
                    "with this `flavor` the calling thread is the only worker"
                } else {
                    "a test has one worker unless `flavor = \"multi_thread\"` stands beside it"
                };
                return Err(Error::new(at, format!("`worker_threads` does not fit here: {why}")));
            }
            options.worker_threads = Some(count);
        }
        if let Some((paused, at)) = self.start_paused {
            if options.flavor == Flavor::MultiThread {
                let why =
                    "a clock stands for a runtime of one worker, so `flavor = \"current_thread\"` must stand beside it";
                return Err(Error::new(at, format!("`start_paused` does not fit here: {why}")));
            }
            options.start_paused = Some(paused);
        }
        if let Some((policy, at)) = self.unhandled_panic {
            if options.flavor == Flavor::MultiThread {
                let why = "a runtime of one worker has it, so `flavor = \"current_thread\"` must stand beside it";
                return Err(Error::new(at, format!("`unhandled_panic` does not fit here: {why}")));
            }
            options.unhandled_panic = Some(policy);
        }
        options.name = self.name.map(|(name, _)| name);
        Ok(options)
    }
}

fn set<T>(place: &mut Option<(T, Span)>, name: &str, value: (T, Span)) -> Result<()> {
    match place {
        Some(_) => Err(Error::new(value.1, format!("`{name}` is given twice"))),
        None => {
            *place = Some(value);
            Ok(())
        }
    }
}

fn flavor(value: &Expr) -> Result<Flavor> {
    let wrong = || Error::new_spanned(value, "`flavor` is `\"current_thread\"`, `\"local\"` or `\"multi_thread\"`");
    let Some(Lit::Str(text)) = literal(value) else { return Err(wrong()) };
    match text.value().as_str() {
        "current_thread" => Ok(Flavor::CurrentThread),
        "local" => Ok(Flavor::Local),
        "multi_thread" => Ok(Flavor::MultiThread),
        _ => Err(wrong()),
    }
}

fn start_paused(value: &Expr) -> Result<LitBool> {
    match literal(value) {
        Some(Lit::Bool(paused)) => Ok(paused.clone()),
        _ => Err(Error::new_spanned(value, "`start_paused` is `true` or `false`")),
    }
}

fn unhandled_panic(value: &Expr) -> Result<Ident> {
    let variant = match literal(value) {
        Some(Lit::Str(text)) if text.value() == "ignore" => "Ignore",
        Some(Lit::Str(text)) if text.value() == "shutdown_runtime" => "ShutdownRuntime",
        _ => return Err(Error::new_spanned(value, "`unhandled_panic` is `\"ignore\"` or `\"shutdown_runtime\"`")),
    };
    Ok(format_ident!("{variant}"))
}

fn runtime_name(value: &Expr) -> Result<LitStr> {
    match literal(value) {
        Some(Lit::Str(name)) if !name.value().is_empty() => Ok(name.clone()),
        _ => Err(Error::new_spanned(value, "`name` is a text that is not empty, written as a literal")),
    }
}

fn worker_threads(value: &Expr) -> Result<usize> {
    let wrong = || Error::new_spanned(value, "`worker_threads` is a whole number, written as a literal, at least 1");
    let Some(Lit::Int(number)) = literal(value) else { return Err(wrong()) };
    match number.base10_parse::<usize>() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(wrong()),
    }
}

/// A path as such, or within quotes, as tokio's attribute has it.
fn path(value: &Expr) -> Result<Path> {
    let wrong = || Error::new_spanned(value, "`crate` is a path, such as `crate = ::wakeline`");
    match value {
        Expr::Path(path) if path.qself.is_none() => Ok(path.path.clone()),
        _ => match literal(value) {
            Some(Lit::Str(text)) => text.parse_with(Path::parse_mod_style).map_err(|_| wrong()),
            _ => Err(wrong()),
        },
    }
}

fn literal(value: &Expr) -> Option<&Lit> {
    match value {
        Expr::Lit(ExprLit { lit, .. }) => Some(lit),
        // What a `macro_rules` variable of kind `literal` or `expr` arrives in.
        Expr::Group(group) => literal(&group.expr),
        _ => None,
    }
}

/// Mistakes found so far, as one error.
#[derive(Default)]
pub(crate) struct Mistakes(Option<Error>);

impl Mistakes {
    pub(crate) fn note<T>(&mut self, result: Result<T>) -> Option<T> {
        match (result, &mut self.0) {
            (Ok(value), _) => Some(value),
            (Err(error), Some(earlier)) => {
                earlier.combine(error);
                None
            }
            (Err(error), none) => {
                *none = Some(error);
                None
            }
        }
    }

    pub(crate) fn finish(self) -> Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}
