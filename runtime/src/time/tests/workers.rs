//! Timers of several workers at once.

use super::*;

fn threads() -> crate::Runtime {
    crate::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap()
}

#[test]
fn timers_that_are_set_here_and_cancelled_there_leave_nothing_behind() {
    let runtime = threads();
    let fired = runtime.block_on(async {
        let (tx, mut rx) = crate::sync::mpsc::channel::<Sleep>(16);
        let setting: Vec<_> = (0..4_u64)
            .map(|task| {
                let tx = tx.clone();
                crate::spawn(async move {
                    for n in 0..500 {
                        let mut sleep = sleep(Duration::from_micros((task * 500 + n) * 7 % 400));
                        let _ = poll(&mut sleep);
                        tx.send(sleep).await.unwrap();
                    }
                })
            })
            .collect();
        drop(tx);
        let taking = crate::spawn(async move {
            let mut fired = 0;
            let mut turn = 0;
            while let Some(mut sleep) = rx.recv().await {
                turn += 1;
                match turn % 3 {
                    0 => drop(sleep),
                    1 => {
                        (&mut sleep).await;
                        fired += 1;
                    }
                    _ => {
                        sleep.reset(Instant::now() + Duration::from_micros(50));
                        sleep.await;
                        fired += 1;
                    }
                }
            }
            fired
        });
        for task in setting {
            task.await.unwrap();
        }
        taking.await.unwrap()
    });
    assert_eq!(fired, 2000 - 2000 / 3, "every third is cancelled");
    assert_eq!(runtime.handle().driver().timers().unwrap().pending(), 0);
}

#[test]
fn threads_that_are_no_workers_sleep_and_time_out() {
    let runtime = threads();
    let others: Vec<_> = (0..4)
        .map(|_| {
            let handle = runtime.handle().clone();
            std::thread::spawn(move || {
                handle.block_on(async {
                    for n in 0..100 {
                        sleep(Duration::from_micros(n)).await;
                        assert!(timeout(Duration::from_micros(n), std::future::pending::<()>()).await.is_err());
                        assert!(timeout(Duration::from_secs(3600), sleep(Duration::from_micros(n))).await.is_ok());
                    }
                });
            })
        })
        .collect();
    for other in others {
        other.join().unwrap();
    }
    assert_eq!(runtime.handle().driver().timers().unwrap().pending(), 0);
}
