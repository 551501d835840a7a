//! `join!` and `try_join!`: the futures as a tree, their outputs as a tuple.

use crate::select::{name, parse_biased, shown_at};
use crate::tree;
use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Expr, Result, Token, parenthesized};

/// Which of the two is being expanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Join,
    TryJoin,
}

/// Expands what stands between the brackets; a mistake in it becomes a `compile_error!` at its place.
pub(crate) fn expand(kind: Kind, input: TokenStream) -> TokenStream {
    match syn::parse2::<Join>(input) {
        Ok(join) => join.expand(kind),
        Err(error) => error.to_compile_error(),
    }
}

/// What stands between the brackets, after the path of the runtime's crate.
struct Join {
    krate: TokenStream,
    biased: bool,
    futures: Punctuated<Expr, Token![,]>,
}

impl Parse for Join {
    fn parse(input: ParseStream<'_>) -> Result<Join> {
        let krate;
        parenthesized!(krate in input);
        let krate = krate.parse()?;
        let biased = parse_biased(input)?;
        Ok(Join { krate, biased, futures: Punctuated::parse_terminated(input)? })
    }
}

impl Join {
    fn expand(&self, kind: Kind) -> TokenStream {
        let krate = &self.krate;
        let mixed = Span::mixed_site();
        if self.futures.is_empty() {
            return match kind {
                Kind::Join => quote! { async {}.await },
                Kind::TryJoin => quote! { async { #krate::macros::Result::Ok(()) }.await },
            };
        }
        let futures = self.futures.iter();
        let names: Vec<Ident> = futures.clone().enumerate().map(|(index, future)| name(index, future)).collect();
        let outputs: Vec<Ident> =
            (0..names.len()).map(|index| format_ident!("output_{}", index, span = mixed)).collect();
        let order = match self.biased || names.len() == 1 {
            true => quote! { Biased },
            false => quote! { Rotating::default() },
        };
        let (leaf, join) = match kind {
            Kind::Join => (quote! { join_branch }, quote! { join }),
            Kind::TryJoin => (quote! { try_join_branch }, quote! { try_join }),
        };
        let leaves: Vec<_> = names.iter().map(|name| (quote! { #name }, name.span())).collect();
        let branches = tree::build(&leaves, &|(left, first), (right, place)| {
            // At the right one's future: that is where two errors that differ are found.
            let pair = shown_at(place, quote! { #krate::macros::join_pair });
            (quote_spanned! {place=> #pair(#left, #right) }, first)
        });
        let branches = branches.map(|(branches, _)| branches);
        let leaves: Vec<TokenStream> = outputs.iter().map(|output| quote! { #output }).collect();
        let pattern = tree::build(&leaves, &|left, right| quote! { (#left, #right) });
        let tuple = quote_spanned! {mixed=> (#(#outputs,)*) };
        let result = match kind {
            Kind::Join => quote_spanned! {mixed=> { let #pattern = output; #tuple } },
            Kind::TryJoin => quote_spanned! {mixed=>
                match output {
                    #krate::macros::Result::Ok(#pattern) => #krate::macros::Result::Ok(#tuple),
                    #krate::macros::Result::Err(error) => #krate::macros::Result::Err(error),
                }
            },
        };
        quote_spanned! {mixed=>
            {
                let output = {
                    #( let #names = #krate::macros::#leaf(#futures); )*
                    let output = #krate::macros::#join(#branches, #krate::macros::#order).await;
                    output
                };
                #[allow(unreachable_code)]
                #result
            }
        }
    }
}
