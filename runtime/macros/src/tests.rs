//! Attributes on text: what they expand to, what they refuse, and where the refusal points.

mod branches;

use crate::expand::{Kind, expand};
use proc_macro2::{Span, TokenStream, TokenTree};

fn expanded(kind: Kind, arguments: &str, item: &str) -> TokenStream {
    expand(kind, arguments.parse().unwrap(), item.parse().unwrap())
}

/// The expansion reads as `expected`, whatever the white space, and parses as a function.
fn check(kind: Kind, arguments: &str, item: &str, expected: &str) {
    let actual = expanded(kind, arguments, item);
    let expected: TokenStream = expected.replace("$ALLOW", ALLOW).parse().unwrap();
    assert_eq!(dense(&actual), dense(&expected), "#[{kind:?}({arguments})] {item}");
    syn::parse2::<syn::ItemFn>(actual).unwrap();
}

fn dense(tokens: &TokenStream) -> String {
    tokens.to_string().replace(char::is_whitespace, "")
}

const ALLOW: &str = "#[allow(clippy::expect_used, clippy::diverging_sub_expression, clippy::needless_return, \
                     clippy::unwrap_in_result, unreachable_code)]";

/// The expansion holds exactly these errors, each `text it points at => words of the message`. A place is looked for in
/// the arguments first, then in the item.
fn refuse(kind: Kind, arguments: &str, item: &str, expected: &[(&str, &str)]) {
    let found = errors(expanded(kind, arguments, item));
    let shown: Vec<_> = found.iter().map(|(_, message)| message).collect();
    assert_eq!(found.len(), expected.len(), "#[{kind:?}({arguments})] {item}: {shown:?}");
    for ((span, message), (place, words)) in found.iter().zip(expected) {
        assert!(message.contains(words), "{message:?} does not say {words:?}");
        let source = span.source_text().unwrap_or_default();
        assert!(place.starts_with(&source) && !source.is_empty(), "{message:?} points at {source:?}, not {place:?}");
    }
}

/// Each `compile_error!("..")` with the span of its path, which is where the compiler shows it.
fn errors(tokens: TokenStream) -> Vec<(Span, String)> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut found = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        if !matches!(token, TokenTree::Ident(ident) if ident == "compile_error") {
            continue;
        }
        let Some(TokenTree::Group(message)) = tokens.get(index + 2) else { panic!("compile_error! without a message") };
        let message: syn::LitStr = syn::parse2(message.stream()).unwrap();
        found.push((token.span(), message.value()));
    }
    found
}

#[test]
fn main_runs_its_body_on_many_workers() {
    check(
        Kind::Main,
        "",
        "async fn main() { serve().await; }",
        r#"fn main() {
            let body = async { serve().await; };
            $ALLOW
            {
                return ::wakeline::runtime::Builder::new_multi_thread()
                    .enable_all()
                    .build()
                    .expect("the operating system gives what a runtime needs")
                    .block_on(body);
            }
        }"#,
    );
}

#[test]
fn the_arguments_reach_the_builder() {
    check(
        Kind::Main,
        r#"flavor = "multi_thread", worker_threads = 3, crate = my::own,"#,
        "/// Doc.\n#[inline] pub(crate) async fn main() -> Result<(), Error> { #![allow(unused)] Ok(()) }",
        r#"#[doc = " Doc."] #[inline] pub(crate) fn main() -> Result<(), Error> {
            #![allow(unused)]
            let body = async { Ok(()) };
            $ALLOW
            {
                return my::own::runtime::Builder::new_multi_thread()
                    .worker_threads(3usize)
                    .enable_all()
                    .build()
                    .expect("the operating system gives what a runtime needs")
                    .block_on(body);
            }
        }"#,
    );
}

#[test]
fn a_test_runs_on_one_worker_and_forgets_its_type() {
    check(
        Kind::Test,
        "",
        "#[should_panic] async fn works() -> io::Result<()> { go().await }",
        r#"#[::core::prelude::v1::test] #[should_panic] fn works() -> io::Result<()> {
            let body = ::core::pin::pin!(async { go().await });
            let body: ::core::pin::Pin<&mut dyn ::core::future::Future<Output = io::Result<()>>> = body;
            $ALLOW
            {
                return ::wakeline::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("the operating system gives what a runtime needs")
                    .block_on(body);
            }
        }"#,
    );
}

#[test]
fn types_that_can_not_be_forgotten_stay() {
    for output in ["!", "impl Termination"] {
        let text = expanded(Kind::Test, "", &format!("async fn t() -> {output} {{ end() }}")).to_string();
        assert!(text.contains("let body = async { end () }"), "{text}");
        assert!(!text.contains("dyn"), "{text}");
    }
}

#[test]
fn every_way_to_write_an_argument() {
    let constructor = |kind, arguments: &str| {
        let text = dense(&expanded(kind, arguments, "async fn f() {}"));
        assert!(!text.contains("compile_error"), "{text}");
        let (_, after) = text.split_once("{return").unwrap();
        let (builder, _) = after.split_once(".enable_all").unwrap();
        builder.to_owned()
    };
    for (kind, arguments, expected) in [
        (Kind::Main, r#"flavor = "current_thread""#, "::wakeline::runtime::Builder::new_current_thread()"),
        (Kind::Test, r#"flavor = "local""#, "::wakeline::runtime::Builder::new_current_thread()"),
        (Kind::Test, "start_paused = true", "::wakeline::runtime::Builder::new_current_thread().start_paused(true)"),
        (
            Kind::Main,
            r#"start_paused = false, flavor = "local""#,
            "::wakeline::runtime::Builder::new_current_thread().start_paused(false)",
        ),
        (
            Kind::Test,
            r#"unhandled_panic = "shutdown_runtime", name = "a test""#,
            r#"::wakeline::runtime::Builder::new_current_thread().unhandled_panic(::wakeline::runtime::UnhandledPanic::ShutdownRuntime).name("atest")"#,
        ),
        (
            Kind::Main,
            r#"crate = crate::w, flavor = "local", unhandled_panic = "ignore""#,
            "crate::w::runtime::Builder::new_current_thread().unhandled_panic(crate::w::runtime::UnhandledPanic::Ignore)",
        ),
        (Kind::Main, "worker_threads = 2", "::wakeline::runtime::Builder::new_multi_thread().worker_threads(2usize)"),
        (Kind::Test, r#"flavor = "multi_thread""#, "::wakeline::runtime::Builder::new_multi_thread()"),
        (
            Kind::Test,
            r#"worker_threads = 0x10, flavor = "multi_thread""#,
            "::wakeline::runtime::Builder::new_multi_thread().worker_threads(16usize)",
        ),
        (Kind::Test, "crate = crate", "crate::runtime::Builder::new_current_thread()"),
        (Kind::Test, r#"crate = "::a::b""#, "::a::b::runtime::Builder::new_current_thread()"),
    ] {
        assert_eq!(constructor(kind, arguments), expected);
    }
}

#[test]
fn a_local_runtime_is_built_by_its_own_name() {
    let built = |arguments: &str| {
        let text = dense(&expanded(Kind::Main, arguments, "async fn f() {}"));
        let (_, after) = text.split_once(".enable_all()").unwrap();
        after.split_once(".expect").unwrap().0.to_owned()
    };
    assert_eq!(built(r#"flavor = "local""#), ".build_local(::core::default::Default::default())");
    assert_eq!(built(""), ".build()");
}

#[test]
fn functions_other_than_main_keep_their_arguments() {
    check(
        Kind::Main,
        r#"flavor = "current_thread""#,
        "pub async fn run<T: Job>(self, mut job: T, count: u32) -> T { job.run(count).await }",
        r#"pub fn run<T: Job>(self, mut job: T, count: u32) -> T {
            let body = async { job.run(count).await };
            $ALLOW
            {
                return ::wakeline::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("the operating system gives what a runtime needs")
                    .block_on(body);
            }
        }"#,
    );
}

#[test]
fn the_body_keeps_its_places_and_the_call_stands_at_its_end() {
    let item = "async fn main() -> u8 {\n    first();\n    \"not a u8\"\n}";
    let tokens: Vec<TokenTree> = flat(expanded(Kind::Main, "", item));
    let place = |name: &str| {
        let token = tokens.iter().rfind(|token| token.to_string() == name).unwrap();
        token.span().start().line
    };
    assert_eq!(place("first"), 2);
    assert_eq!(place("\"not a u8\""), 3);
    assert_eq!(place("block_on"), 3, "a wrong return type is reported at the last expression");

    let tokens = flat(expanded(Kind::Main, "", "async fn main() {\n    first();\n    last\n;\n}"));
    let block_on = tokens.iter().find(|token| token.to_string() == "block_on").unwrap();
    assert_eq!(block_on.span().start().line, 3, "a closing semicolon is not the last thing said");
}

fn flat(tokens: TokenStream) -> Vec<TokenTree> {
    let mut all = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Group(group) => all.extend(flat(group.stream())),
            token => all.push(token),
        }
    }
    all
}

#[test]
fn a_body_that_does_not_parse_goes_through() {
    let text = expanded(Kind::Main, "", "async fn main() { let x = ; stream. }").to_string();
    assert!(text.contains("async { let x = ; stream . }"), "{text}");
    assert!(!text.contains("compile_error"), "{text}");
}

#[test]
fn functions_that_do_not_fit() {
    refuse(Kind::Main, "", "fn main() {}", &[("fn", "#[wakeline::main] stands on an `async fn`")]);
    refuse(Kind::Test, "", "pub fn t() {}", &[("fn", "#[wakeline::test] stands on an `async fn`")]);
    refuse(
        Kind::Main,
        "",
        "async fn main(args: Vec<String>) {}",
        &[("args: Vec<String>", "the main function takes no arguments")],
    );
    refuse(Kind::Test, "", "async fn t(x: u8) {}", &[("x: u8", "a test function takes no arguments")]);
    refuse(Kind::Test, "", "async fn t<T>() {}", &[("<T>", "can not be generic")]);
    refuse(Kind::Main, "", "async fn main<T>() {}", &[("<T>", "can not be generic")]);
    refuse(Kind::Test, "", "#[test] async fn t() {}", &[("#[test]", "would run twice")]);
    refuse(Kind::Test, "", "#[core::prelude::v1::test] async fn t() {}", &[("#[core::prelude::v1::test]", "twice")]);
    refuse(Kind::Main, "", "struct Main;", &[("struct", "expected")]);
    // One mistake does not hide another.
    refuse(
        Kind::Main,
        "speed = 9",
        "fn main(x: u8) {}",
        &[("fn", "async fn"), ("x: u8", "no arguments"), ("speed", "unknown argument `speed`")],
    );
}

#[test]
fn a_second_test_attribute_is_taken_away() {
    let text = dense(&expanded(Kind::Test, "", "#[test] async fn t() {}"));
    let (function, _error) = text.split_once("::core::compile_error").unwrap();
    assert_eq!(function.matches("test]").count(), 1, "{text}");
}

#[test]
fn arguments_that_do_not_fit() {
    let main = |arguments, expected: &[(&str, &str)]| refuse(Kind::Main, arguments, "async fn main() {}", expected);
    main("speed = 9", &[("speed", "unknown argument `speed`: allowed are `flavor")]);
    main("start_paused = 1", &[("1", "`start_paused` is `true` or `false`")]);
    main("start_paused = \"true\"", &[("\"true\"", "`true` or `false`")]);
    main("start_paused", &[("start_paused", "`start_paused` needs a value")]);
    main("start_paused = true", &[("start_paused = true", "`flavor = \"current_thread\"` must stand beside it")]);
    refuse(
        Kind::Test,
        "flavor = \"multi_thread\", start_paused = true",
        "async fn t() {}",
        &[("start_paused = true", "does not fit here")],
    );
    main("a::b = 9", &[("a::b", "unknown argument `a::b`")]);
    main("flavor", &[("flavor", "`flavor` needs a value")]);
    main("worker_threads(2)", &[("worker_threads(2)", "`worker_threads` needs a value")]);
    main("flavor = \"fast\"", &[("\"fast\"", "`\"current_thread\"`, `\"local\"` or `\"multi_thread\"`")]);
    main("flavor = 1", &[("1", "`\"current_thread\"`, `\"local\"` or `\"multi_thread\"`")]);
    main("worker_threads = 0", &[("0", "at least 1")]);
    main("worker_threads = -1", &[("-1", "at least 1")]);
    main("worker_threads = \"2\"", &[("\"2\"", "whole number")]);
    main("worker_threads = WORKERS", &[("WORKERS", "written as a literal")]);
    main("worker_threads = 99999999999999999999999", &[("99999999999999999999999", "whole number")]);
    main("crate = 5", &[("5", "`crate` is a path")]);
    main("crate = \"not a path\"", &[("\"not a path\"", "`crate` is a path")]);
    main("worker_threads = 1, worker_threads = 1", &[("worker_threads = 1", "given twice")]);
    main(
        "flavor = \"current_thread\", worker_threads = 2",
        &[("worker_threads = 2", "the calling thread is the only worker")],
    );
    main("flavor = \"local\", worker_threads = 2", &[("worker_threads = 2", "the only worker")]);
    main(
        "unhandled_panic = \"ignore\"",
        &[("unhandled_panic = \"ignore\"", "`flavor = \"current_thread\"` must stand beside it")],
    );
    main("flavor = \"local\", unhandled_panic = \"abort\"", &[("\"abort\"", "`\"ignore\"` or `\"shutdown_runtime\"`")]);
    main("unhandled_panic = 1", &[("1", "`\"ignore\"` or")]);
    main("name = \"\"", &[("\"\"", "not empty")]);
    main("name = 7", &[("7", "written as a literal")]);
    main("name = \"a\", name = \"b\"", &[("name = \"b\"", "given twice")]);
    main("one = 1, two = 2", &[("one", "unknown"), ("two", "unknown")]);
}

#[test]
fn arguments_that_do_not_parse() {
    for arguments in ["flavor \"x\"", "flavor =", "= 1", "flavor = \"current_thread\" worker_threads = 1"] {
        let text = expanded(Kind::Main, arguments, "async fn main() {}").to_string();
        assert!(text.contains("compile_error"), "{arguments}: {text}");
        assert!(text.contains("fn main ()"), "the function stays, with the defaults: {text}");
    }
}

#[test]
fn a_test_needs_the_flavor_for_workers() {
    refuse(
        Kind::Test,
        "worker_threads = 2",
        "async fn t() {}",
        &[("worker_threads = 2", "unless `flavor = \"multi_thread\"` stands beside it")],
    );
}
