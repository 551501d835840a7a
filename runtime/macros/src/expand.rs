//! The expansion: an `async fn` in, a plain one out whose body runs inside `block_on`.
//!
//! The body is never parsed. It goes through as the tokens that the user wrote, so that its errors are the compiler's
//! own, at the user's own places, and an editor can complete in a body that does not parse yet.

use crate::options::{Flavor, Mistakes, Options};
use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Error, Meta, Result, ReturnType, Signature, Type, Visibility, braced};

/// Which attribute is being expanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Main,
    Test,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Main => "#[wakeline::main]",
            Kind::Test => "#[wakeline::test]",
        }
    }
}

/// Expands the attribute on `item`.
///
/// A mistake becomes a `compile_error!` beside the function as it would have been, so that nothing else in the file
/// breaks because of it.
pub(crate) fn expand(kind: Kind, arguments: TokenStream, item: TokenStream) -> TokenStream {
    let function = match syn::parse2::<Function>(item.clone()) {
        Ok(function) => function,
        Err(error) => return with_error(item, &error),
    };
    let mut mistakes = Mistakes::default();
    mistakes.note(function.check(kind));
    let options = mistakes.note(Options::parse(kind, arguments)).unwrap_or_else(|| Options::default_of(kind));
    let expanded = function.expand(kind, &options);
    match mistakes.finish() {
        Ok(()) => expanded,
        Err(error) => with_error(expanded, &error),
    }
}

fn with_error(mut tokens: TokenStream, error: &Error) -> TokenStream {
    tokens.extend(error.to_compile_error());
    tokens
}

/// A function whose body is left as tokens.
struct Function {
    attributes: Vec<Attribute>,
    visibility: Visibility,
    signature: Signature,
    body: Body,
}

struct Body {
    /// Attributes that open the body (`#![allow(..)]`).
    attributes: Vec<Attribute>,
    tokens: TokenStream,
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        let signature = input.parse()?;
        let content;
        braced!(content in input);
        let body = Body { attributes: content.call(Attribute::parse_inner)?, tokens: content.parse()? };
        Ok(Function { attributes, visibility, signature, body })
    }
}

impl Function {
    fn check(&self, kind: Kind) -> Result<()> {
        let mut mistakes = Mistakes::default();
        let signature = &self.signature;
        if signature.asyncness.is_none() {
            let text = format!("{} stands on an `async fn`: write `async` here", kind.name());
            mistakes.note::<()>(Err(Error::new_spanned(signature.fn_token, text)));
        }
        if self.is_entry(kind) {
            if !signature.inputs.is_empty() {
                let text = match kind {
                    Kind::Main => "the main function takes no arguments",
                    Kind::Test => "a test function takes no arguments",
                };
                mistakes.note::<()>(Err(Error::new_spanned(&signature.inputs, text)));
            }
            if !signature.generics.params.is_empty() {
                let text = format!("a function under {} can not be generic", kind.name());
                mistakes.note::<()>(Err(Error::new_spanned(&signature.generics, text)));
            }
        }
        if kind == Kind::Test {
            for second in self.attributes.iter().filter(|attribute| is_test(attribute)) {
                let text = "#[wakeline::test] is the test attribute: with a second one the test would run twice";
                mistakes.note::<()>(Err(Error::new_spanned(second, text)));
            }
        }
        mistakes.finish()
    }

    /// Whether nobody calls it with arguments: a test, or the program's `main`. Another function under `#[main]` has its own.
    fn is_entry(&self, kind: Kind) -> bool {
        kind == Kind::Test || self.signature.ident == "main"
    }

    fn expand(mut self, kind: Kind, options: &Options) -> TokenStream {
        self.signature.asyncness = None;
        if self.is_entry(kind) {
            self.signature.inputs.clear();
        }
        self.attributes.retain(|attribute| !(kind == Kind::Test && is_test(attribute)));

        let Function { attributes, visibility, signature, body } = self;
        let inner_attributes = &body.attributes;
        let test = (kind == Kind::Test).then(|| quote! { #[::core::prelude::v1::test] });
        let future = future(kind, &signature.output, &body.tokens);
        let run = run(options, body.end());
        quote! {
            #test
            #(#attributes)*
            #visibility #signature {
                #(#inner_attributes)*
                #future
                #run
            }
        }
    }
}

/// `let body = async { .. };`, for a test without its type: so the runtime's code is compiled once, not once a test.
fn future(kind: Kind, output: &ReturnType, body: &TokenStream) -> TokenStream {
    let output = match output {
        ReturnType::Default => quote! { () },
        // Not types that one may write after `Output =`.
        ReturnType::Type(_, output) if matches!(**output, Type::Never(_) | Type::ImplTrait(_)) => {
            return quote! { let body = async { #body }; };
        }
        ReturnType::Type(_, output) => output.to_token_stream(),
    };
    match kind {
        Kind::Main => quote! { let body = async { #body }; },
        Kind::Test => quote! {
            let body = ::core::pin::pin!(async { #body });
            let body: ::core::pin::Pin<&mut dyn ::core::future::Future<Output = #output>> = body;
        },
    }
}

/// Builds the runtime and drives `body`. At `end`, the end of the body, because that is where a return type that does
/// not fit is found.
fn run(options: &Options, end: Span) -> TokenStream {
    let krate = &options.krate;
    let constructor = match options.flavor {
        Flavor::CurrentThread | Flavor::Local => quote_spanned! { end=> new_current_thread },
        Flavor::MultiThread => quote_spanned! { end=> new_multi_thread },
    };
    let build = match options.flavor {
        Flavor::Local => quote_spanned! { end=> build_local(::core::default::Default::default()) },
        Flavor::CurrentThread | Flavor::MultiThread => quote_spanned! { end=> build() },
    };
    let worker_threads = options.worker_threads.map(|count| quote_spanned! { end=> .worker_threads(#count) });
    let start_paused = options.start_paused.as_ref().map(|paused| quote_spanned! { end=> .start_paused(#paused) });
    let unhandled_panic = options.unhandled_panic.as_ref().map(|policy| {
        quote_spanned! { end=> .unhandled_panic(#krate::runtime::UnhandledPanic::#policy) }
    });
    let name = options.name.as_ref().map(|name| quote_spanned! { end=> .name(#name) });
    // `return` although it is last: as the block's value, a mismatched type would be reported at the attribute.
    quote_spanned! { end=>
        #[allow(
            clippy::expect_used,
            clippy::diverging_sub_expression,
            clippy::needless_return,
            clippy::unwrap_in_result,
            unreachable_code
        )]
        {
            return #krate::runtime::Builder::#constructor()
                #worker_threads
                #start_paused
                #unhandled_panic
                #name
                .enable_all()
                .#build
                .expect("the operating system gives what a runtime needs")
                .block_on(body);
        }
    }
}

impl Body {
    /// The last thing that the body says, without a closing semicolon; the attribute when it says nothing.
    fn end(&self) -> Span {
        let mut last = None;
        let mut before = None;
        for token in self.tokens.clone() {
            before = last.replace(token);
        }
        let token = match last {
            Some(TokenTree::Punct(punct)) if punct.as_char() == ';' => before,
            last => last,
        };
        let place = token.map_or_else(Span::call_site, |token| token.span());
        // Resolved where the attribute stands, shown where the body ends.
        Span::call_site().located_at(place)
    }
}

/// Whether this is `#[test]`, by that or its full name.
fn is_test(attribute: &Attribute) -> bool {
    let Meta::Path(path) = &attribute.meta else { return false };
    let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    matches!(names[..], ["test"] | ["core" | "std", "prelude", _, "test"])
}
