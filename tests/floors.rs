//! Keeps the floors: reads every source file and fails when an import points up, or at what it must not know.
//!
//! The tables below are the law, drawn as ARCHITECTURE.md draws it. `floors/scan.rs` finds what a file names,
//! `floors/rules.rs` judges it by these tables, `floors/checker_tests.rs` proves on small sources that it can fail.
//! Test code (`#[cfg(test)]`, `tests.rs`, `loom_tests.rs`, `tests/`, `testing/`) is exempt: it may look anywhere.

#[path = "floors/checker_tests.rs"]
mod checker_tests;
#[path = "floors/rules.rs"]
mod rules;
#[path = "floors/scan.rs"]
mod scan;

use rules::{Building, Keep, Law, Limit, Listed, Strangers};
use std::path::{Path, PathBuf};

/// Each line is a floor, the highest first; a file imports from its own floor or from lower ones. A word is a file or a
/// folder (`timer` places `timer.rs` and all of `timer/`); the longest word that fits a file places it.
#[rustfmt::skip]
const LAW: Law = Law {
    buildings: &[
        Building { src: "src", floors: &["lib"] },
        Building {
            src: "runtime/src",
            floors: &[
                "lib",
                "spawn  time  io  fs  signal  process  hyper  macros  join_set  local_set  task_group  task_builder",  // the API: here, and only here, the ambient Handle is read
                "runtime  local_runtime  builder  builder_hooks", // Runtime, and how it is built
                "context",                              // the ambient Handle
                "handle",
                "scheduler",                            // workers, queues, idle set, registry
                "driver  blocking_pool  crew  local_scheduler",  // the one place where a worker sleeps; threads that may block
                "task  reactor  timer  sync",
                "wait_queue",
                "park  coop  clock  rng  namespace  unwind  trace",
                "atomic",
            ],
        },
        Building {
            src: "net/src",
            floors: &[
                "lib",
                "api  blocking  poll  epoll  completion  sim  fuzzing",   // what users call; what fuzzers call
                "netns",                                // which network a task stands on
                "host",                                 // introduces stack and nic: cpu, napi, driver, syscall
                "link  tap",
                "engine",                               // what runs by itself, on a task or on a thread
                "stack  nic  os",                       // three that do not know each other
                "gro",                                  // what puts segments together: a driver, or the device before it
                "wire",                                 // headers
                "packet  irq",                          // the sk_buff; lines, softirqs, the NAPI word: what devices raise and CPUs run
                "fasync",                               // files with an owner, processes with signals
                "event  syscall  waking  halt  sockopt  tcp_info  extended_error  recv_meta  forward  iov_iter  growing", // the tracepoints, who wakes through what; what starts an engine again; what sockets are asked and tell
                "atomic",                               // the standard library's atomics, or loom's
            ],
        },
    ],

    strangers: &[
        Strangers { src: "net/src", parts: ["stack", "nic"], why: "`host` introduces them" },
        Strangers { src: "net/src", parts: ["stack", "os"], why: "a socket is emulated or the system's, never both" },
        Strangers { src: "net/src", parts: ["nic", "os"], why: "an emulated device owns no file descriptor" },
        Strangers { src: "net/src", parts: ["link", "stack"], why: "a link knows devices, never a socket" },
        Strangers { src: "net/src", parts: ["link", "os"], why: "the way out of the emulation is `tap`" },
        Strangers { src: "net/src", parts: ["host", "os"], why: "they meet only in `api`, `blocking` and `netns`" },
    ],

    // Where files may name both of two parts that otherwise never meet.
    meetings: &[("net/src", ["host", "os"], &["lib", "api", "blocking", "netns"])],

    // What a folder may name of another crate. The longest folder that holds the file counts.
    limits: &[
        Limit {
            folder: "net/src",
            of: "wakeline_runtime",
            only: &[
                "Handle", "JoinHandle", "clock", "coop", "io", "lone_poll", "namespace", "park", "rng", "spawn",
                "spawn_blocking", "task", "time", "wait_queue",
            ],
            why: "`net` uses the runtime's public face only",
        },
        Limit {
            folder: "net/src/stack",
            of: "wakeline_runtime",
            only: &["clock::Instant", "rng", "wait_queue"],
            why: "`stack` is a pure core: no clock, task, thread or sleep; `now` comes in as an `Instant`",
        },
        Limit { folder: "net/src/wire", of: "wakeline_runtime", only: &[], why: "a header is bytes and fields" },
    ],

    // What a folder never names, wherever it comes from.
    keeps: &[
        Keep {
            folders: &["net/src/stack", "net/src/wire"],
            out: &[
                "std::env", "std::fs", "std::net::TcpListener", "std::net::TcpStream", "std::net::UdpSocket",
                "std::sync::Condvar", "std::sync::Mutex", "std::sync::RwLock", "std::thread", "std::time::Instant",
                "std::time::SystemTime",
            ],
            why: "`stack` and `wire` have no clock, thread, lock or file: `now` comes in, frames and wake-ups go out",
        },
    ],

    // Children that name their parent all the same.
    parents: &[],

    // Files that own an atomic word. Everyone else takes a lock, or calls a verb of the file that owns the word.
    atomics: &[
        Listed { file: "runtime/src/atomic.rs", why: "hands out the types, the standard library's or loom's" },
        Listed { file: "runtime/src/clock/pausable.rs", why: "what a look at the clock needs; who holds it" },
        Listed { file: "runtime/src/clock/virtual_clock.rs", why: "the virtual clock's nanoseconds" },
        Listed { file: "runtime/src/park.rs", why: "the parker's three-valued word" },
        Listed { file: "runtime/src/wait_queue/queue.rs", why: "the number of waiters, read without the lock" },
        Listed { file: "runtime/src/driver/sleep_word.rs", why: "how the driver sleeps" },
        Listed { file: "runtime/src/reactor/mod.rs", why: "the number of registered sources" },
        Listed { file: "runtime/src/reactor/ring/buffers.rs", why: "the tail of the buffers' ring, which the kernel reads" },
        Listed { file: "runtime/src/reactor/readiness.rs", why: "a source's readiness and its tick" },
        Listed { file: "runtime/src/scheduler/block_on.rs", why: "whether the main future is woken" },
        Listed { file: "runtime/src/scheduler/idle.rs", why: "who sleeps, who searches" },
        Listed { file: "runtime/src/scheduler/inject.rs", why: "the injector's length, read without its lock" },
        Listed { file: "runtime/src/scheduler/counters.rs", why: "counters" },
        Listed { file: "runtime/src/scheduler/id.rs", why: "the next number" },
        Listed { file: "runtime/src/scheduler/queue.rs", why: "head and tail of a worker's ring" },
        Listed { file: "runtime/src/scheduler/worker_park.rs", why: "where a worker sleeps" },
        Listed { file: "runtime/src/sync/barrier.rs", why: "which generation is coming" },
        Listed { file: "runtime/src/sync/broadcast/handles.rs", why: "how many handles send" },
        Listed { file: "runtime/src/sync/cancellation_token/tree.rs", why: "the flag that is looked at, and the tokens of a node" },
        Listed { file: "runtime/src/sync/notify/word.rs", why: "the permit, who waits, and how often all were told" },
        Listed { file: "runtime/src/sync/once_value.rs", why: "whether the value is there" },
        Listed { file: "runtime/src/sync/permits.rs", why: "the permits, and how many waiters were told" },
        Listed { file: "runtime/src/sync/mpsc/returned.rs", why: "permits given back without the channel's lock" },
        Listed { file: "runtime/src/sync/watch/state.rs", why: "the version, who waits where, who holds the ends" },
        Listed { file: "runtime/src/sync/oneshot/state.rs", why: "who may touch what, and who frees it" },
        Listed { file: "runtime/src/task/cell.rs", why: "whether the join waiter is there" },
        Listed { file: "runtime/src/task/id.rs", why: "the next number" },
        Listed { file: "runtime/src/task/state.rs", why: "the task's state word" },
        Listed { file: "runtime/src/timer/place.rs", why: "the next number of a thread that is no worker" },
        Listed { file: "runtime/src/timer/shard.rs", why: "a shard's earliest moment, and the driver's plan" },
        Listed { file: "net/src/event.rs", why: "whether anybody listens: one load an event" },
        Listed { file: "net/src/halt.rs", why: "whether an engine has halted" },
        Listed { file: "net/src/packet/account.rs", why: "how much of the pool's bound is in use" },
        Listed { file: "net/src/atomic.rs", why: "hands out the types, the standard library's or loom's" },
        Listed { file: "net/src/irq/controller.rs", why: "what was delivered to a CPU" },
        Listed { file: "net/src/irq/hrtimer.rs", why: "when the earliest timer is due" },
        Listed { file: "net/src/irq/line.rs", why: "a line's masks, its latched cause, who runs its handler" },
        Listed { file: "net/src/irq/napi.rs", why: "the NAPI word" },
        Listed { file: "net/src/irq/softirq.rs", why: "the pending softirqs, and whether they may run" },
        Listed { file: "net/src/nic/mod.rs", why: "how many queues are in use: one load a batch" },
        Listed { file: "net/src/link/capture.rs", why: "whether anybody captures: one load a batch" },
        Listed { file: "net/src/link/delay.rs", why: "whether a frame entered an idle line" },
        Listed { file: "net/src/epoll/sleepers.rs", why: "how many sleep on an epoll, asked under a socket's lock" },
        Listed { file: "net/src/link/switch.rs", why: "the version of the table: one load a batch" },
        Listed { file: "net/src/host/counters.rs", why: "counters, and flags that are read all the time" },
        Listed { file: "net/src/host/softnet.rs", why: "how many threads want to run; the backlog's head and bound" },
        Listed { file: "net/src/host/machine.rs", why: "dealing connections out to CPUs" },
    ],

    // Files that may say `unsafe`; each block in them carries its argument.
    unsafes: &[
        Listed { file: "runtime/src/clock/system/linux.rs", why: "a look at the clock as a number, and the cheap look" },
        Listed { file: "runtime/src/driver/slack/prctl.rs", why: "the timer slack of a thread" },
        Listed { file: "runtime/src/reactor/alarm/timerfd.rs", why: "the timerfd's system calls" },
        Listed { file: "runtime/src/reactor/ring/buffers.rs", why: "memory that the kernel receives into" },
        Listed { file: "runtime/src/reactor/ring/kernel.rs", why: "the two queues that are shared with the kernel; SO_LINGER" },
        Listed { file: "runtime/src/local_scheduler.rs", why: "tasks that are not `Send`, kept on their thread" },
        Listed { file: "runtime/src/scheduler/core.rs", why: "a queued task as one word in the ring" },
        Listed { file: "runtime/src/scheduler/current.rs", why: "a worker's own state, lent to what it calls" },
        Listed { file: "runtime/src/scheduler/queue.rs", why: "a queued task as one word in the ring" },
        Listed { file: "runtime/src/sync/locked.rs", why: "the value of a lock, touched by whoever has the permits" },
        Listed { file: "runtime/src/sync/mutex/lock.rs", why: "vouches that it is always the same lock" },
        Listed { file: "runtime/src/sync/once_value.rs", why: "a value written once through a shared reference" },
        Listed { file: "runtime/src/sync/rwlock/lock.rs", why: "vouches that it is always the same lock" },
        Listed { file: "runtime/src/sync/oneshot/halves.rs", why: "the value's place, touched by whoever the state lets" },
        Listed { file: "runtime/src/scheduler/schedule.rs", why: "tasks that are not `Send`, where one thread is the worker" },
        Listed { file: "runtime/src/task/cell.rs", why: "a task is one allocation, its type forgotten" },
        Listed { file: "runtime/src/task/handles.rs", why: "the references that the state word counts" },
        Listed { file: "runtime/src/task/harness.rs", why: "the future, touched by whoever the state word lets" },
        Listed { file: "runtime/src/task/join.rs", why: "the references that the state word counts" },
        Listed { file: "runtime/src/task/mod.rs", why: "what may be sent and shared between threads" },
        Listed { file: "runtime/src/task/waker.rs", why: "a task's RawWaker" },
        Listed { file: "net/src/wire/checksum/avx2.rs", why: "registers that not every processor has, and a load into one" },
    ],

    // Files that may ask the operating system for the time, or sleep.
    clocks: &[
        Listed { file: "runtime/src/clock/instant.rs", why: "the standard library's moments, to convert" },
        Listed { file: "runtime/src/clock/system/other.rs", why: "the one real clock, where there is none of its own" },
        Listed { file: "runtime/src/park.rs", why: "a thread's sleep ends at a moment of the system's clock" },
        Listed { file: "runtime/src/wait_queue/queue.rs", why: "so does a blocking wait's timeout" },
        Listed { file: "runtime/src/reactor/alarm/timerfd.rs", why: "an alarm is set in the system's time" },
        Listed { file: "runtime/src/time/mod.rs", why: "the API's own `Instant::now`, which asks the ambient clock" },
        Listed { file: "runtime/src/hyper.rs", why: "that one, for hyper" },
        Listed { file: "runtime/src/scheduler/detector.rs", why: "how long a poll has held its thread" },
        Listed { file: "runtime/src/scheduler/observe.rs", why: "how long polls take, and how long a worker is awake" },
        Listed { file: "runtime/src/blocking_pool.rs", why: "how long a thread has waited for its call" },
        Listed { file: "runtime/src/runtime.rs", why: "the limit of a shutdown, which threads wait for" },
        Listed { file: "net/src/link/capture.rs", why: "the time of day at which a capture begins" },
        Listed { file: "net/src/host/socket/attempt.rs", why: "a blocking call's timeout" },
    ],
};

#[test]
fn every_file_keeps_its_floor() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for building in LAW.buildings {
        collect(&root.join(building.src), root, &mut files);
    }
    assert!(files.len() > LAW.buildings.len(), "the sources were not found under {}", root.display());
    let faults = LAW.judge(&files);
    let shown: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert!(
        shown.is_empty(),
        "{} broken rules (the tables are in tests/floors.rs):\n{}",
        shown.len(),
        shown.join("\n")
    );
}

/// Every `.rs` file below `folder`, by its path from `root` with `/`, with its text; sorted, so that a report is too.
fn collect(folder: &Path, root: &Path, files: &mut Vec<(String, String)>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("a folder that opened can be listed").path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, root, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).expect("it was found below the root").components();
            let name: Vec<_> = name.map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
            files.push((name.join("/"), std::fs::read_to_string(&path).expect("sources are readable UTF-8")));
        }
    }
}
