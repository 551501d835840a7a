//! The text of the kernel's files about the receive path, as tools parse it.

use crate::host::handle::Host;
use crate::host::machine::Works;
use crate::irq::softirq::Softirq;
use crate::nic::stats::NicStats;
use std::fmt::Write;
use std::io;

impl Host {
    /// The text of one of the kernel's files, with the host's own counts: `/proc/net/softnet_stat`, `/proc/net/dev`,
    /// `/proc/interrupts`, `/proc/softirqs`. Existing tools that parse these files parse this.
    ///
    /// # Errors
    /// `ENOENT` (`NotFound`) for any other.
    pub fn proc_file(&self, path: &str) -> io::Result<String> {
        let machine = self.machine();
        match path {
            "/proc/net/softnet_stat" => Ok(softnet_stat(machine)),
            "/proc/net/dev" => Ok(net_dev(machine)),
            "/proc/interrupts" => Ok(interrupts(machine)),
            "/proc/softirqs" => Ok(softirqs(machine)),
            _ => Err(io::Error::from_raw_os_error(libc::ENOENT)),
        }
    }
}

/// A line for each CPU, of 15 hexadecimal columns.
fn softnet_stat(machine: &Works) -> String {
    let mut text = String::new();
    for index in 0..machine.cpu_count() {
        let cpu = machine.cpu(index);
        let counters = &cpu.counters;
        let input = cpu.input_queue().len();
        let columns = [
            counters.processed.get(),
            counters.backlog_drops.get(),
            counters.time_squeeze.get(),
            0,
            0,
            0,
            0,
            0,
            0,
            counters.received_rps.get(),
            counters.flow_limit.get(),
            input as u64,
            index as u64,
            input as u64,
            0,
        ];
        // The kernel's columns have 32 bits, and wrap.
        let columns: Vec<String> = columns.iter().map(|&n| format!("{:08x}", n as u32)).collect();
        let _ = writeln!(text, "{}", columns.join(" "));
    }
    text
}

/// The loopback, and the interface. What was missed counts as dropped, as the kernel folds it.
fn net_dev(machine: &Works) -> String {
    let mut text = String::from(
        "Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs drop fifo frame \
         compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n",
    );
    let mut stats = NicStats::default();
    machine.queue_stats().iter().for_each(|queue| stats.add(queue));
    let lo = machine.loopback.stats();
    for (name, stats) in [(&machine.loopback.name, lo), (machine.nic.name(), stats)] {
        net_dev_line(&mut text, name, &stats);
    }
    text
}

fn net_dev_line(text: &mut String, name: &str, stats: &NicStats) {
    let errors = stats.rx_length_errors;
    let dropped = stats.rx_missed_errors + stats.rx_dropped;
    let _ = writeln!(
        text,
        "{:>6}: {:7} {:7} {:4} {:4} {:4} {:5} {:10} {:9} {:8} {:7} {:4} {:4} {:4} {:5} {:7} {:10}",
        name,
        stats.rx_bytes,
        stats.rx_packets,
        errors,
        dropped,
        0,
        errors,
        0,
        0,
        stats.tx_bytes,
        stats.tx_packets,
        0,
        stats.tx_dropped,
        0,
        0,
        0,
        0
    );
}

/// A row for each line: its number, how often each CPU took it, chip and name there, the actions.
fn interrupts(machine: &Works) -> String {
    let mut text = String::from("    ");
    (0..machine.cpu_count()).for_each(|cpu| {
        let _ = write!(text, "       {:<4}", format!("CPU{cpu}"));
    });
    text.push('\n');
    for (index, desc) in machine.irqs.iter().enumerate().take(machine.nic.queue_count()) {
        let _ = write!(text, "{:3}: ", machine.nic.line(index).number());
        desc.counts().for_each(|count| {
            let _ = write!(text, "{count:10} ");
        });
        let names: Vec<String> = desc.names().iter().map(ToString::to_string).collect();
        let _ = writeln!(text, " {}  {}", desc.chip, names.join(", "));
    }
    text
}

/// A row for each vector, a column for each CPU.
fn softirqs(machine: &Works) -> String {
    let mut text = String::from("                    ");
    (0..machine.cpu_count()).for_each(|cpu| {
        let _ = write!(text, "{:<11}", format!("CPU{cpu}"));
    });
    text.push('\n');
    for vector in Softirq::ALL {
        let _ = write!(text, "{:>12}:", vector.name());
        for cpu in 0..machine.cpu_count() {
            let _ = write!(text, " {:10}", machine.cpu(cpu).counters.softirqs[vector as usize].get());
        }
        text.push('\n');
    }
    text
}
