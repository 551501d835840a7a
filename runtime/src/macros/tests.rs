//! t
#[test]
fn smoke() {
    let r = crate::Builder::new_current_thread().build().unwrap();
    let v = r.block_on(async {
        let mut s = Some(String::from("x"));
        let x = crate::select! {
            Some(mut x) = async { s.take() } => { x.push('a'); x }
            _ = std::future::pending::<()>(), if s.is_none() => break_it(),
            ref y @ 3 = async { 4 } => y.to_string(),
        };
        let (a, b) = crate::join!(async { 1 }, async { "b" });
        let t: Result<(u8, u16, u32), String> = crate::try_join!(async { Ok(1) }, async { Ok(2) }, async { Ok(3) });
        (x, a, b, t)
    });
    assert_eq!(v, ("xa".to_string(), 1, "b", Ok((1, 2, 3))));
}
fn break_it() -> String {
    String::new()
}
