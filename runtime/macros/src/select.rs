//! `select!`: reads the branches and writes a `match` over what the runtime's `Select` future gives.
//!
//! Everything that the user wrote stands in the caller's own function, outside any closure, so that `?`, `break`, `return`
//! and `.await` work in it; only the patterns stand a second time, in a closure that asks whether they match.

use crate::tree::{self, Side};
use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{Error, Expr, ExprBlock, Pat, Result, Token, parenthesized, token};

mod keyword {
    syn::custom_keyword!(biased);
}

/// As many branches as the mask of the disabled ones has bits.
const BRANCHES_MAX: usize = 64;

/// Expands what stands between the braces; a mistake in it becomes a `compile_error!` at its place.
pub(crate) fn expand(input: TokenStream) -> TokenStream {
    match syn::parse2::<Select>(input) {
        Ok(select) => select.expand(),
        Err(error) => error.to_compile_error(),
    }
}

/// What stands between the braces, after the path of the runtime's crate.
struct Select {
    krate: TokenStream,
    biased: bool,
    branches: Vec<Branch>,
    otherwise: Option<Expr>,
}

/// `pattern = future [, if precondition] => handler`.
struct Branch {
    pattern: Pat,
    future: Expr,
    precondition: Option<Expr>,
    handler: Expr,
}

impl Parse for Select {
    fn parse(input: ParseStream<'_>) -> Result<Select> {
        let krate;
        parenthesized!(krate in input);
        let krate = krate.parse()?;
        let biased = parse_biased(input)?;
        let mut branches = Vec::new();
        let mut otherwise = None;
        while !input.is_empty() {
            if input.peek(Token![else]) {
                otherwise = Some(parse_else(input)?);
                break;
            }
            if branches.len() == BRANCHES_MAX {
                let text = "`select!` takes at most 64 branches: put some of them into a `select!` of their own";
                return Err(input.error(text));
            }
            branches.push(input.parse()?);
        }
        if branches.is_empty() && otherwise.is_none() {
            let text = "`select!` needs at least one branch: `pattern = future => handler`";
            return Err(Error::new(Span::call_site(), text));
        }
        Ok(Select { krate, biased, branches, otherwise })
    }
}

/// Takes `biased;`, if it is there.
pub(crate) fn parse_biased(input: ParseStream<'_>) -> Result<bool> {
    let biased = input.peek(keyword::biased) && input.peek2(Token![;]);
    if biased {
        input.parse::<keyword::biased>()?;
        input.parse::<Token![;]>()?;
    }
    Ok(biased)
}

fn parse_else(input: ParseStream<'_>) -> Result<Expr> {
    input.parse::<Token![else]>()?;
    input.parse::<Token![=>]>()?;
    let handler = parse_handler(input)?;
    if !input.is_empty() {
        return Err(input.error("`else` stands last: nothing comes after it"));
    }
    Ok(handler)
}

impl Parse for Branch {
    fn parse(input: ParseStream<'_>) -> Result<Branch> {
        let pattern = Pat::parse_multi_with_leading_vert(input)?;
        if !input.peek(Token![=]) || input.peek(Token![=>]) {
            return Err(input.error("expected `=` and a future: a branch is `pattern = future => handler`"));
        }
        input.parse::<Token![=]>()?;
        let future = input.parse()?;
        let precondition = if input.peek(Token![,]) && input.peek2(Token![if]) {
            input.parse::<Token![,]>()?;
            input.parse::<Token![if]>()?;
            Some(parse_precondition(input)?)
        } else {
            None
        };
        if !input.peek(Token![=>]) {
            return Err(input.error("expected `, if precondition` or `=> handler` after the branch's future"));
        }
        input.parse::<Token![=>]>()?;
        Ok(Branch { pattern, future, precondition, handler: parse_handler(input)? })
    }
}

fn parse_precondition(input: ParseStream<'_>) -> Result<Expr> {
    if input.peek(Token![let]) {
        return Err(input.error("a precondition is a `bool`: `if let` has no place here, `matches!(..)` has"));
    }
    input.parse()
}

/// A block, which ends the branch, or an expression, which a comma ends.
fn parse_handler(input: ParseStream<'_>) -> Result<Expr> {
    if input.peek(token::Brace) {
        let block = ExprBlock { attrs: Vec::new(), label: None, block: input.parse()? };
        input.parse::<Option<Token![,]>>()?;
        return Ok(block.into());
    }
    let handler = input.parse()?;
    if !input.is_empty() {
        if !input.peek(Token![,]) {
            return Err(input.error("expected `,` after the handler: only one in braces goes without"));
        }
        input.parse::<Token![,]>()?;
    }
    Ok(handler)
}

/// What holds a branch's future. It stands where the future stands, so that the compiler shows there what is wrong with it;
/// for that it must be a name of the caller's, so it is one that nobody else will think of.
pub(crate) fn name(index: usize, future: &Expr) -> Ident {
    format_ident!("wakeline_future_{}", index, span = future.span())
}

/// `path` as it is resolved now, but shown at `place`.
pub(crate) fn shown_at(place: Span, path: TokenStream) -> TokenStream {
    let show = |mut token: TokenTree| {
        token.set_span(token.span().located_at(place));
        token
    };
    path.into_iter().map(show).collect()
}

impl Select {
    fn expand(&self) -> TokenStream {
        let Some(last) = self.branches.len().checked_sub(1) else {
            return self.otherwise.to_token_stream();
        };
        let krate = &self.krate;
        let mixed = Span::mixed_site();
        let preconditions = self.preconditions();
        let futures = self.branches.iter().map(|branch| &branch.future);
        let names: Vec<Ident> = futures.clone().enumerate().map(|(index, future)| name(index, future)).collect();
        let into_futures = names.iter().map(|name| shown_at(name.span(), quote! { #krate::macros::into_future }));
        let leaves: Vec<TokenStream> = (0..=last).map(|index| self.leaf(index, &names[index])).collect();
        let branches = tree::build(&leaves, &|left, right| quote! { #krate::macros::Pair::new(#left, #right) });
        let order = match self.biased || last == 0 {
            true => quote! { Biased },
            false => quote! { Fair },
        };
        let arms = (0..=last).map(|index| self.arm(index));
        let otherwise = self
            .otherwise
            .as_ref()
            .map_or_else(|| quote! { #krate::macros::all_branches_disabled() }, |otherwise| quote! { #otherwise });
        quote_spanned! {mixed=>
            {
                let disabled = 0u64 #(#preconditions)*;
                let mut output = {
                    // One by one, so that what a future borrows from a temporary lives as long as the block.
                    #( let #names = #futures; )*
                    #( let #names = #into_futures(#names); )*
                    let output = #krate::macros::select(#branches, disabled, #krate::macros::#order).await;
                    output
                };
                match output {
                    #(#arms)*
                    #krate::macros::Option::None => #otherwise,
                    #[allow(unreachable_patterns)]
                    _ => #krate::macros::unreachable_branch(),
                }
            }
        }
    }

    /// What each precondition adds to the mask of the disabled branches.
    fn preconditions(&self) -> impl Iterator<Item = TokenStream> {
        let krate = &self.krate;
        self.branches.iter().zip(0u32..).filter_map(move |(branch, index)| {
            let condition = branch.precondition.as_ref()?;
            Some(quote! { | #krate::macros::disabled_unless(#condition, #index) })
        })
    }

    /// A future, and the question whether its output matches the pattern.
    ///
    /// A guard that says no lets the pattern be tried on the value itself, without moving anything out of it.
    fn leaf(&self, index: usize, name: &Ident) -> TokenStream {
        let (krate, pattern) = (&self.krate, &self.branches[index].pattern);
        if matches!(pattern, Pat::Wild(_)) {
            return quote! { #krate::macros::branch(#name, #krate::macros::Option::Some) };
        }
        quote_spanned! {Span::mixed_site()=>
            #krate::macros::branch(
                #name,
                #[allow(unused, clippy::all, clippy::pedantic)]
                |mut output| {
                    let mut matches = false;
                    match output {
                        #pattern if { matches = true; false } => #krate::macros::unreachable_branch(),
                        _ => {}
                    }
                    if matches { #krate::macros::Option::Some(output) } else { #krate::macros::Option::None }
                },
            )
        }
    }

    fn arm(&self, index: usize) -> TokenStream {
        let krate = &self.krate;
        let Branch { pattern, handler, .. } = &self.branches[index];
        let path = tree::path(index, self.branches.len());
        let output = path.into_iter().rev().fold(quote! { #pattern }, |inner, side| match side {
            Side::Left => quote! { #krate::macros::Either::Left(#inner) },
            Side::Right => quote! { #krate::macros::Either::Right(#inner) },
        });
        quote! { #krate::macros::Option::Some(#output) => #handler, }
    }
}
