//! The ready list against a model that is slow and plainly right.

use super::*;
use proptest::prelude::*;

const IN: EpollFlags = EpollFlags::IN;

fn list_of(items: usize) -> (ReadyList, Vec<ItemId>) {
    let mut list = ReadyList::default();
    let ids = (0..items).map(|_| list.insert(IN)).collect();
    (list, ids)
}

/// Works the batch off, `most` items of it, each settled as `settle` says; gives their places.
fn harvest(list: &mut ReadyList, most: usize, settle: Settle) -> Vec<usize> {
    list.start_scan();
    let mut told = Vec::new();
    while told.len() < most
        && let Some((id, _)) = list.next()
    {
        told.push(id.index());
        list.settle(id, settle);
    }
    list.finish_scan();
    told
}

#[test]
fn any_number_of_events_is_one_entry() {
    let (mut list, ids) = list_of(2);
    for _ in 0..5 {
        assert!(list.on_event(ids[1], Events::READABLE));
    }
    assert!(list.on_event(ids[0], Events::ANY));
    assert_eq!(harvest(&mut list, 9, Settle::Drop), [1, 0]);
    assert!(!list.is_available());
}

#[test]
fn what_is_kept_goes_to_the_tail() {
    // docs/rxpath.md, row 50.
    let (mut list, ids) = list_of(3);
    for &id in &ids {
        list.queue(id);
    }
    let told: Vec<_> = (0..6).flat_map(|_| harvest(&mut list, 1, Settle::Keep)).collect();
    assert_eq!(told, [0, 1, 2, 0, 1, 2]);
}

#[test]
fn what_arrives_during_a_scan_waits_aside_and_keeps_its_order() {
    let (mut list, ids) = list_of(5);
    for &id in &ids[..3] {
        list.queue(id);
    }
    list.start_scan();
    let (first, _) = list.next().unwrap();
    list.settle(first, Settle::Keep);
    for at in [4, 3, 4, 2, 0] {
        assert!(list.on_event(ids[at], Events::IN));
    }
    assert!(list.is_available(), "a scan says that there may be something");
    assert!(list.finish_scan());
    // The rest of the batch, what arrived (4 before 3), what was kept.
    assert_eq!(harvest(&mut list, 9, Settle::Drop), [1, 2, 4, 3, 0]);
}

#[test]
fn what_was_told_once_hears_nothing_until_it_is_modified() {
    let (mut list, ids) = list_of(1);
    list.set_wanted(ids[0], IN | EpollFlags::RDHUP | EpollFlags::ERR | EpollFlags::ONESHOT);
    assert!(list.on_event(ids[0], Events::READABLE));
    assert_eq!(harvest(&mut list, 1, Settle::Disarm), [0]);
    assert!(!list.on_event(ids[0], Events::READABLE));
    assert!(!list.on_event(ids[0], Events::ANY));
    assert_eq!(list.wanted(ids[0]), EpollFlags::ONESHOT);
    list.set_wanted(ids[0], IN);
    assert!(list.on_event(ids[0], Events::READABLE));
}

#[test]
fn a_key_that_nobody_wants_is_ignored() {
    let (mut list, ids) = list_of(1);
    assert!(!list.on_event(ids[0], Events::WRITABLE));
    assert!(!list.is_available());
}

#[test]
fn a_removed_item_is_nowhere_and_its_name_means_nothing() {
    let (mut list, ids) = list_of(3);
    list.queue(ids[0]);
    list.queue(ids[1]);
    list.start_scan();
    assert!(list.on_event(ids[2], Events::IN));
    for id in ids.iter().copied() {
        list.remove(id);
    }
    assert!(!list.finish_scan());
    let next = list.insert(IN);
    assert!(ids.iter().any(|id| id.index() == next.index()));
    assert!(ids.iter().all(|&id| !list.on_event(id, Events::IN)), "a stale name");
    assert!(!list.has_ready());
}

/// One step; items are numbered modulo how many there are.
#[derive(Clone, Debug)]
enum Step {
    Insert { oneshot: bool },
    Remove(usize),
    Rearm(usize),
    Event(usize, Events),
    StartScan,
    Next(Settle),
    FinishScan,
}

fn step() -> impl Strategy<Value = Step> {
    let at = || 0..8_usize;
    let key = prop_oneof![Just(Events::READABLE), Just(Events::WRITABLE), Just(Events::ANY)];
    prop_oneof![
        2 => any::<bool>().prop_map(|oneshot| Step::Insert { oneshot }),
        1 => at().prop_map(Step::Remove),
        1 => at().prop_map(Step::Rearm),
        6 => (at(), key).prop_map(|(at, key)| Step::Event(at, key)),
        2 => Just(Step::StartScan),
        4 => prop_oneof![Just(Settle::Drop), Just(Settle::Keep)].prop_map(Step::Next),
        2 => Just(Step::FinishScan),
    ]
}

/// The same by moving names about in vectors.
#[derive(Default)]
struct Model {
    items: Vec<(ItemId, EpollFlags)>,
    ready: Vec<ItemId>,
    batch: Vec<ItemId>,
    /// What arrived during the scan, oldest first.
    aside: Option<Vec<ItemId>>,
}

impl Model {
    fn wanted(&mut self, id: ItemId) -> &mut EpollFlags {
        &mut self.items.iter_mut().find(|(known, _)| *known == id).unwrap().1
    }

    fn on_event(&mut self, id: ItemId, key: Events) -> bool {
        if !self.wanted(id).events().intersects(key) {
            return false;
        }
        let list = self.aside.as_mut().unwrap_or(&mut self.ready);
        if !list.contains(&id) {
            list.push(id);
        }
        true
    }

    fn finish(&mut self) {
        let aside = self.aside.take().unwrap();
        let kept = std::mem::take(&mut self.ready);
        self.ready = std::mem::take(&mut self.batch);
        let batch = self.ready.clone();
        self.ready.extend(aside.iter().filter(|id| !batch.contains(id) && !kept.contains(id)));
        self.ready.extend(kept);
    }
}

proptest! {
    #[test]
    fn it_does_what_the_model_does(steps in prop::collection::vec(step(), 1..120)) {
        let (mut list, mut model) = (ReadyList::default(), Model::default());
        for step in steps {
            let at = |n: usize, model: &Model| (!model.items.is_empty()).then(|| model.items[n % model.items.len()].0);
            match step {
                Step::Insert { oneshot } if model.items.len() < 8 => {
                    let wanted = if oneshot { IN | EpollFlags::ONESHOT } else { IN };
                    model.items.push((list.insert(wanted), wanted));
                }
                Step::Remove(n) => if let Some(id) = at(n, &model) {
                    list.remove(id);
                    model.items.retain(|(known, _)| *known != id);
                    for queue in [&mut model.ready, &mut model.batch].into_iter().chain(model.aside.as_mut()) {
                        queue.retain(|&known| known != id);
                    }
                }
                Step::Rearm(n) if model.aside.is_none() => if let Some(id) = at(n, &model) {
                    *model.wanted(id) |= IN;
                    list.set_wanted(id, *model.wanted(id));
                    prop_assert_eq!(list.queue(id), !model.ready.contains(&id));
                    if !model.ready.contains(&id) {
                        model.ready.push(id);
                    }
                }
                Step::Event(n, key) => if let Some(id) = at(n, &model) {
                    prop_assert_eq!(list.on_event(id, key), model.on_event(id, key));
                }
                Step::StartScan if model.aside.is_none() => {
                    list.start_scan();
                    model.batch = std::mem::take(&mut model.ready);
                    model.aside = Some(Vec::new());
                }
                Step::Next(settle) if model.aside.is_some() => {
                    let expected = (!model.batch.is_empty()).then(|| model.batch.remove(0));
                    let next = list.next();
                    prop_assert_eq!(next.map(|(id, _)| id), expected);
                    if let Some((id, wanted)) = next {
                        prop_assert_eq!(wanted, *model.wanted(id));
                        if wanted.contains(EpollFlags::ONESHOT) {
                            list.settle(id, Settle::Disarm);
                            *model.wanted(id) = wanted.disarmed();
                        } else {
                            list.settle(id, settle);
                            if settle == Settle::Keep { model.ready.push(id); }
                        }
                    }
                }
                Step::FinishScan if model.aside.is_some() => {
                    model.finish();
                    prop_assert_eq!(list.finish_scan(), !model.ready.is_empty());
                }
                _ => {}
            }
            prop_assert_eq!(list.len(), model.items.len());
            prop_assert_eq!(list.has_ready(), !model.ready.is_empty());
            prop_assert_eq!(list.is_available(), !model.ready.is_empty() || model.aside.is_some());
        }
    }
}
