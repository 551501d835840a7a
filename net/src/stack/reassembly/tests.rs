use super::*;
use crate::packet::Pool;
use proptest::prelude::*;

fn at(s: u64) -> Instant {
    Instant::from_virtual_ns(s * 1_000_000_000)
}

fn key(src: u8, ident: u32) -> Key {
    Key { src: IpAddr::from([10, 0, 0, src]), dst: IpAddr::from([10, 0, 0, 200]), ident, protocol: 17 }
}

fn data(range: std::ops::Range<usize>) -> Vec<u8> {
    range.map(|at| (at ^ (at >> 8)) as u8).collect()
}

struct World {
    pool: Pool,
    table: Reassembly,
    evicted: Vec<Expired>,
}

impl World {
    fn new() -> World {
        World { pool: Pool::new(64 << 20), table: Reassembly::new([1, 2, 3, 4]), evicted: Vec::new() }
    }

    /// A piece with four bytes of header, "head", and the right data.
    fn piece(&self, range: std::ops::Range<usize>, more: bool) -> Piece {
        let bytes = [b"head", &data(range.clone())[..]].concat();
        let mut packet = PacketBuf::from_bytes(&self.pool, &bytes).unwrap();
        packet.pull(4);
        Piece { packet, offset: range.start, more, header_len: 4, ecn: 0 }
    }

    fn add(&mut self, key: Key, range: std::ops::Range<usize>, more: bool) -> Outcome {
        let piece = self.piece(range, more);
        self.table.add(key, piece, at(0), &mut self.evicted)
    }
}

fn joined(world: &World, outcome: Outcome) -> Vec<u8> {
    let Outcome::Whole(whole) = outcome else { panic!("{outcome:?}") };
    join(whole, 10, &mut world.pool.cache()).unwrap().data().to_vec()
}

#[test]
fn pieces_in_any_order_make_the_whole() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]] {
        let mut world = World::new();
        let pieces = [(0..16, true), (16..32, true), (32..37, false)];
        let mut last = None;
        for n in order {
            let (range, more) = pieces[n].clone();
            last = Some(world.add(key(1, 7), range, more));
        }
        assert_eq!(joined(&world, last.unwrap()), [b"head", &data(0..37)[..]].concat());
        assert_eq!((world.table.truesize(), world.table.queues.len(), world.table.by_source.len()), (0, 0, 0));
    }
}

#[test]
fn what_contradicts_ends_the_packet_and_a_repetition_does_not() {
    let check = |second: (std::ops::Range<usize>, bool), expected: Option<Fault>| {
        let mut world = World::new();
        assert!(matches!(world.add(key(1, 7), 16..32, true), Outcome::Waits));
        match (world.add(key(1, 7), second.0.clone(), second.1), expected) {
            (Outcome::Duplicate(_), None) => assert_eq!(world.table.queues.len(), 1),
            (Outcome::Ended(pieces, fault), Some(expected)) => {
                assert_eq!((fault, pieces.len(), world.table.queues.len()), (expected, 2, 0), "{second:?}");
            }
            (outcome, _) => panic!("{second:?}: {outcome:?}"),
        }
        assert!(world.table.truesize() == 0 || expected.is_none());
    };
    check((16..32, true), None);
    check((16..24, true), None);
    check((8..24, true), Some(Fault::Overlap));
    check((24..40, true), Some(Fault::Overlap));
    check((8..40, true), Some(Fault::Overlap));
    check((16..40, true), Some(Fault::Overlap));
    check((0..8, false), Some(Fault::Contradiction));
    check((40..40, true), Some(Fault::Contradiction));
    check((65_528..65_540, false), Some(Fault::TooLong));
    let mut world = World::new();
    assert!(matches!(world.add(key(1, 7), 16..32, false), Outcome::Waits));
    assert!(matches!(world.add(key(1, 7), 32..40, true), Outcome::Ended(_, Fault::Contradiction)));
}

#[test]
fn different_packets_do_not_mix() {
    let mut world = World::new();
    assert!(matches!(world.add(key(1, 7), 0..8, true), Outcome::Waits));
    assert!(matches!(world.add(key(1, 8), 8..10, false), Outcome::Waits));
    assert!(matches!(world.add(key(2, 7), 8..10, false), Outcome::Waits));
    assert!(matches!(world.add(Key { protocol: 6, ..key(1, 7) }, 8..10, false), Outcome::Waits));
    assert!(matches!(world.add(key(1, 7), 8..10, false), Outcome::Whole(_)));
}

#[test]
fn congestion_is_remembered_and_contradicting_marks_are_refused() {
    let mark = |ecns: [u8; 2]| {
        let mut world = World::new();
        let mut add = |range: std::ops::Range<usize>, more, ecn| {
            let piece = Piece { ecn, ..world.piece(range, more) };
            world.table.add(key(1, 7), piece, at(0), &mut world.evicted)
        };
        let _ = add(0..8, true, ecns[0]);
        add(8..10, false, ecns[1])
    };
    assert!(matches!(mark([2, 2]), Outcome::Whole(Whole { congested: false, .. })));
    assert!(matches!(mark([2, 3]), Outcome::Whole(Whole { congested: true, .. })));
    assert!(matches!(mark([0, 3]), Outcome::Ended(_, Fault::Ecn)));
}

#[test]
fn time_runs_out_by_family() {
    let mut world = World::new();
    let v6 = Key { src: "fd00::1".parse().unwrap(), dst: "fd00::2".parse().unwrap(), ..key(1, 7) };
    assert!(matches!(world.add(v6, 8..16, true), Outcome::Waits));
    assert!(matches!(world.add(key(1, 7), 0..8, true), Outcome::Waits));
    assert!(matches!(world.add(key(1, 8), 8..16, true), Outcome::Waits));
    assert_eq!(world.table.next_deadline(), at(30));
    assert!(world.table.pop_expired(at(29)).is_none());
    let expired = world.table.pop_expired(at(30)).unwrap();
    assert!(expired.key == key(1, 7) && expired.first.is_some());
    let expired = world.table.pop_expired(at(30)).unwrap();
    assert!(expired.key == key(1, 8) && expired.first.is_none() && expired.rest.len() == 1);
    assert!(world.table.pop_expired(at(59)).is_none());
    assert_eq!(world.table.pop_expired(at(60)).unwrap().key, v6);
    assert_eq!((world.table.next_deadline(), world.table.truesize()), (Instant::FAR_FUTURE, 0));
}

#[test]
fn memory_is_bounded_and_the_oldest_go_first() {
    let mut world = World::new();
    for n in 0..20_000u32 {
        let src = (n / 32 % 200) as u8;
        let _ = world.add(key(src, n), 0..512, true);
        assert!(world.table.truesize() <= HIGH_THRESH + 4096);
    }
    assert!(world.table.truesize() > LOW_THRESH / 2);
    assert_eq!(world.evicted[0].key, key(0, 0));
    let waiting = world.table.order[0].len();
    assert!(waiting <= 4 * (world.table.queues.len() + PER_SOURCE_MAX) + 1, "{waiting}");
}

#[test]
fn one_source_does_not_fill_the_table() {
    let mut world = World::new();
    assert!(matches!(world.add(key(2, 0), 0..8, true), Outcome::Waits));
    for n in 0..1000 {
        let _ = world.add(key(1, n), 0..8, true);
    }
    assert_eq!(world.table.queues.len(), 1 + PER_SOURCE_MAX);
    assert!(matches!(world.add(key(2, 0), 8..10, false), Outcome::Whole(_)));
    assert!(matches!(world.add(key(1, 999), 8..10, false), Outcome::Whole(_)));
}

proptest! {
    /// Whatever the pieces: what comes out is what the offsets say, and nothing leaks.
    #[test]
    fn only_the_right_bytes_come_out(
        cuts in prop::collection::btree_set(1usize..200, 0..20), tail in 0usize..8, order in any::<u64>(),
        strays in prop::collection::vec((0usize..220, 1usize..40, any::<bool>()), 0..3),
    ) {
        let mut world = World::new();
        let len = 1600 + tail;
        let mut edges: Vec<usize> = cuts.into_iter().map(|cut| cut * 8).collect();
        edges.push(0);
        edges.push(len);
        edges.sort_unstable();
        let mut pieces: Vec<_> = edges.windows(2).map(|edge| (edge[0]..edge[1], edge[1] != len)).collect();
        pieces.extend(strays.into_iter().map(|(at, n, more)| (at * 8..at * 8 + n * 8, more)));
        let mut seed = order;
        for n in (1..pieces.len()).rev() {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            pieces.swap(n, (seed >> 33) as usize % (n + 1));
        }
        for (range, more) in pieces {
            if let Outcome::Whole(whole) = world.add(key(1, 7), range, more) {
                let n = whole.len;
                let bytes = join(whole, 10, &mut world.pool.cache()).unwrap();
                prop_assert_eq!(&bytes.data()[4..], &data(0..n)[..]);
            }
        }
        while world.table.pop_expired(at(100)).is_some() {}
        prop_assert_eq!((world.table.truesize(), world.table.queues.len(), world.table.by_source.len()), (0, 0, 0));
    }
}
