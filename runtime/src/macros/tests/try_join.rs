//! What `try_join!` does with its futures.

use crate::coop::{BUDGET, with_budget};
use crate::macros::tests::{Log, now, poll, step};
use crate::try_join;
use futures_lite::future::{pending, ready, yield_now};
use std::convert::Infallible;
use std::pin::pin;
use std::task::Poll;

#[test]
fn it_gives_all_that_went_well() {
    let log = Log::default();
    let mut join = pin!(async {
        try_join!(async { Ok::<_, ()>(log.after(1, "a").await) }, ready(Ok(7)), async { Ok(log.after(2, "c").await) },)
    });
    assert!(poll(join.as_mut()).is_pending());
    assert!(poll(join.as_mut()).is_pending());
    assert_eq!(poll(join), Poll::Ready(Ok(("a", 7, "c"))));
}

#[test]
fn one_or_none() {
    assert_eq!(now(async { try_join!(ready(Ok::<_, ()>(1))) }), Ok((1,)));
    assert_eq!(now(async { try_join!(ready(Err::<(), _>(1)),) }), Err(1));
    let nothing: Result<(), u8> = now(async { try_join!() });
    let biased: Result<(), u8> = now(async { try_join!(biased;) });
    assert_eq!((nothing, biased), (Ok(()), Ok(())));
}

#[test]
fn the_first_error_ends_it_and_drops_the_rest() {
    let log = Log::default();
    let mut join = pin!(async {
        let result = try_join!(
            biased;
            async { let _ = log.after(0, "a").await; Ok(log.guard("output")) },
            async { log.after(1, "b").await; Err::<(), _>("b failed") },
            async { log.after(2, "c").await; Err::<(), _>("c failed") },
        );
        log.say("end");
        result.map(|_| ())
    });
    assert!(poll(join.as_mut()).is_pending());
    assert_eq!(log.take(), "a -a b c");
    assert_eq!(poll(join.as_mut()), Poll::Ready(Err("b failed")));
    assert_eq!(log.take(), "b -b -output -c end", "the third was not polled any more");
}

#[test]
fn an_error_that_comes_before_others_were_polled() {
    let log = Log::default();
    let b = log.after(0, "b");
    let result: Result<((), &str), u8> = now(async { try_join!(ready(Err(1)), async { Ok(b.await) }) });
    assert_eq!((result, log.take().as_str()), (Err(1), "-b"));
}

#[test]
fn who_is_polled_first_rotates_unless_biased() {
    let log = Log::default();
    let wait = |name| {
        let future = log.after(9, name);
        async move { Ok::<_, ()>(future.await) }
    };
    let mut join = pin!(async { try_join!(wait("a"), wait("b"), wait("c")) });
    let rounds: Vec<_> = (0..4).map(|_| (poll(join.as_mut()).is_pending(), log.take()).1).collect();
    assert_eq!(rounds, ["a b c", "b c a", "c a b", "a b c"]);
    let mut join = pin!(async { try_join!(biased; wait("d"), wait("e")) });
    let rounds: Vec<_> = (0..2).map(|_| (poll(join.as_mut()).is_pending(), log.take()).1).collect();
    assert_eq!(rounds, ["d e", "d e"]);
}

#[test]
fn a_dropped_one_drops_futures_and_outputs() {
    let log = Log::default();
    {
        let mut join = Box::pin(async {
            try_join!(async { Ok::<_, ()>(log.guard("output")) }, async { Ok(log.after(9, "b").await) }).is_ok()
        });
        assert!(poll(join.as_mut()).is_pending());
        assert_eq!(log.take(), "b");
    }
    assert_eq!(log.take(), "-output -b");
}

#[test]
fn errors_that_can_not_be() {
    let result: Result<(u8, u8), Infallible> = now(async { try_join!(ready(Ok(1)), async { Ok(2) }) });
    let Ok(sum) = result.map(|(a, b)| a + b);
    assert_eq!(sum, 3);
    let mut join = pin!(async { try_join!(async { Ok::<Infallible, u8>(pending().await) }, ready(Ok(1))) });
    assert!(poll(join.as_mut()).is_pending());
}

#[test]
fn the_error_type_of_one_is_that_of_all() {
    async fn fails() -> std::io::Result<u8> {
        Err(std::io::ErrorKind::NotFound.into())
    }
    async fn caller() -> Result<u8, Box<dyn std::error::Error>> {
        let (a, b, c) = try_join!(async { Ok(1) }, fails(), async {
            yield_now().await;
            Ok(3)
        })?;
        Ok(a + b + c)
    }
    assert_eq!(now(caller()).unwrap_err().to_string(), "entity not found");
}

#[test]
fn one_that_spends_the_budget_does_not_starve_the_others() {
    async fn greedy() -> Result<(), u8> {
        loop {
            step().await;
        }
    }
    let mut join = pin!(async {
        try_join!(greedy(), async {
            for _ in 0..BUDGET {
                step().await;
            }
            Err::<(), _>(1)
        })
    });
    assert!(with_budget(|| poll(join.as_mut())).is_pending());
    assert_eq!(with_budget(|| poll(join.as_mut())), Poll::Ready(Err(1)));
}
