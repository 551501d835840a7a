//! Every row, with as little work as there can be: nobody measures here.

use super::*;
use crate::contestant::{Smol, Tokio, Wakeline};
use std::collections::HashSet;

fn check<C: Contestant>(rows: &[Row<C>]) {
    for workers in [1, 2] {
        for row in rows.iter().filter(|row| workers == 2 || row.about.with_one_worker) {
            let contestant = C::new(workers).unwrap();
            let values = (row.measure)(&contestant, Until::Requests(1)).unwrap();
            assert_eq!(values.len(), row.about.figures.len(), "{}", row.about.name);
            assert!(values.iter().all(|value| value.is_finite() && *value >= 0.0), "{} {values:?}", row.about.name);
        }
    }
}

/// All but those whose length is fixed.
fn short<C>(rows: Vec<Row<C>>) -> Vec<Row<C>> {
    rows.into_iter().filter(|row| row.about.name != "sleeps-100k" && row.about.name != "timers-100k").collect()
}

#[test]
fn wakeline_does_every_row() {
    check::<Wakeline>(&short(all()));
    check::<Wakeline>(&[wake_and_poll()]);
}

#[test]
fn tokio_does_every_row() {
    check::<Tokio>(&short(all()));
    check::<Tokio>(&[wake_and_poll()]);
}

#[test]
fn smol_does_every_row() {
    check::<Smol>(&short(all()));
    check::<Smol>(&[wake_and_poll()]);
}

#[test]
fn threads_do_what_they_can() {
    let known: Vec<_> = all::<Tokio>().iter().map(|row| row.about).collect();
    for row in of_threads() {
        let values = (row.measure)(&Threads, Until::Requests(1)).unwrap();
        let about = known.iter().find(|about| about.name == row.about.name).expect("a row of the table");
        assert_eq!((values.len(), row.about.weight), (about.figures.len(), about.weight), "{}", about.name);
    }
}

#[test]
fn every_row_has_a_name_of_its_own() {
    let names: Vec<_> = all::<Tokio>().iter().map(|row| row.about.name).collect();
    assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
}

#[test]
fn what_is_counted_is_a_row() {
    let names: HashSet<_> = all::<Tokio>().iter().chain(&[wake_and_poll()]).map(|row| row.about.name).collect();
    for counted in COUNTED {
        assert!(names.contains(counted.row) && counted.few < counted.more, "{counted:?}");
    }
}
