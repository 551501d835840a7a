//! What `ethtool` and the files below `/sys/class/net/eth0` show and set, on a [`Host`].

use crate::host::driver::{self, NapiSettings};
use crate::host::handle::Host;
use crate::host::rps::{FlowTable, RpsMap};
use crate::nic::coalesce::Coalesce;
use crate::nic::model::NicModel;
use crate::nic::rss::Rxfh;
use crate::nic::stats::NicStats;
use std::fmt;
use std::io;
use std::net::SocketAddr;

/// How many descriptors the rings of a device have (`ethtool -g`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RingParam {
    /// The most that a receive ring can have.
    pub rx_max: usize,
    /// The most that a transmit ring can have.
    pub tx_max: usize,
    /// What each receive ring has.
    pub rx: usize,
    /// What each transmit ring has.
    pub tx: usize,
}

/// How many queue pairs a device has (`ethtool -l`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Channels {
    /// The most that it can have.
    pub combined_max: usize,
    /// What it has.
    pub combined: usize,
}

/// The counters of a device, in all and by queue (`ethtool -S`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EthtoolStats {
    /// Summed up, with what queues have counted that are not in use any more.
    pub total: NicStats,
    /// Of each queue pair that is in use.
    pub queues: Vec<NicStats>,
}

impl Host {
    /// Whose device the host has (`ethtool -i`).
    #[must_use]
    pub fn nic(&self) -> NicModel {
        self.machine().nic.model()
    }

    /// `ethtool -g`.
    #[must_use]
    pub fn ring_param(&self) -> RingParam {
        let nic = &self.machine().nic;
        let max = nic.model().limits().ring_max;
        RingParam { rx_max: max, tx_max: max, rx: nic.rx_ring(), tx: self.machine().tx_ring() }
    }

    /// Gives each receive ring `rx` descriptors, rounded up to the device's step (`ethtool -G eth0 rx N`). The device goes down
    /// for a moment: what is in its rings is lost, and counted as `rx_dropped`.
    ///
    /// # Errors
    /// `EINVAL` (`InvalidInput`) for less than the device's least or more than its most.
    pub fn set_rx_ring(&self, rx: usize) -> io::Result<()> {
        let rx = self.nic().limits().ring(rx)?;
        driver::resize_rings(self.machine(), rx);
        Ok(())
    }

    /// `ethtool -l`.
    #[must_use]
    pub fn channels(&self) -> Channels {
        let nic = &self.machine().nic;
        Channels { combined_max: nic.model().limits().queues_max, combined: nic.queue_count() }
    }

    /// Uses `combined` queue pairs from here on, each with its vector and NAPI instance (`ethtool -L eth0 combined N`). Queue `n`
    /// interrupts CPU `n`, and queues beyond the last CPU begin again with CPU 0.
    ///
    /// The table of RSS is dealt out anew, unless it was set by [`set_rxfh`](Host::set_rxfh). Nothing is lost: what stands in
    /// the rings of queues that go is brought to the stack, as `virtio_net` does, where most drivers lose what is in all rings. A
    /// connection's state stays with its CPU: if its queue goes, its packets come in by the queue that their hash has now, and the CPU
    /// of that one works on them. Packets that follow in the new queue may overtake those that the old one still holds.
    ///
    /// # Examples
    /// ```no_run
    /// # fn example(host: wakeline_net::emulated::Host) -> std::io::Result<()> {
    /// host.set_channels(2)?;
    /// println!("{}", host.channels()); // ethtool -l eth0
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `EINVAL` (`InvalidInput`) for none and for more than the device can have, and where a table that was set names a queue that
    /// would go; [`reset_rxfh`](Host::reset_rxfh) takes that back.
    pub fn set_channels(&self, combined: usize) -> io::Result<()> {
        driver::set_channels(self.machine(), combined)
    }

    /// How the device moderates interrupts (`ethtool -c`).
    #[must_use]
    pub fn coalesce(&self) -> Coalesce {
        self.machine().nic.coalesce(0)
    }

    /// Moderates them otherwise (`ethtool -C`). What waits to be told of is told at once.
    ///
    /// # Examples
    /// ```no_run
    /// # fn example(host: wakeline_net::emulated::Host) -> std::io::Result<()> {
    /// use wakeline_net::emulated::Coalesce;
    ///
    /// // An interrupt 50 us after the first frame, or with the eighth.
    /// host.set_coalesce(Coalesce { rx_usecs: 50, rx_frames: 8, ..host.coalesce() })?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `EINVAL` (`InvalidInput`) when no interrupt would ever come, and for more microseconds than the device can count.
    pub fn set_coalesce(&self, coalesce: Coalesce) -> io::Result<()> {
        self.machine().nic.set_coalesce(coalesce)
    }

    /// How the device spreads flows over its queues (`ethtool -x`).
    ///
    /// # Errors
    /// `EOPNOTSUPP` (`Unsupported`) for a device that does not: an [`E1000`](NicModel::E1000).
    pub fn rxfh(&self) -> io::Result<Rxfh> {
        self.machine().nic.rxfh()
    }

    /// Spreads them otherwise (`ethtool -X`). A connection's state stays where it is: only the CPU changes that works on its
    /// packets. A table that is not the present one is its user's from here on: [`set_channels`](Host::set_channels) keeps it.
    ///
    /// # Errors
    /// `EOPNOTSUPP` (`Unsupported`) for a device that does not spread them; `EINVAL` (`InvalidInput`) for a key that has not 40 bytes, a
    /// table of another size than the device's, and a queue that there is not.
    pub fn set_rxfh(&self, rxfh: &Rxfh) -> io::Result<()> {
        self.machine().nic.set_rxfh(rxfh)?;
        self.machine().steering.bend();
        Ok(())
    }

    /// Spreads them evenly over the queues, also when there are more or fewer of them (`ethtool -X eth0 default`).
    ///
    /// # Errors
    /// `EOPNOTSUPP` (`Unsupported`) for a device that does not spread them.
    pub fn reset_rxfh(&self) -> io::Result<()> {
        self.machine().nic.reset_rxfh()
    }

    /// `ethtool -S`.
    #[must_use]
    pub fn ethtool_stats(&self) -> EthtoolStats {
        let mut queues = self.machine().queue_stats();
        let mut total = NicStats::default();
        queues.iter().for_each(|queue| total.add(queue));
        queues.truncate(self.machine().nic.queue_count());
        EthtoolStats { total, queues }
    }

    /// When the device may interrupt again after a poll, and who polls (`napi_defer_hard_irqs`, `gro_flush_timeout`, `threaded`): as
    /// the first queue's instance is set.
    #[must_use]
    pub fn napi(&self) -> NapiSettings {
        self.machine().driver.settings(0)
    }

    /// Sets that, for every queue.
    ///
    /// # Errors
    /// `ERANGE` for more than `i32::MAX` polls, as the kernel says.
    pub fn set_napi(&self, settings: NapiSettings) -> io::Result<()> {
        settings.check()?;
        self.machine().driver.set(settings);
        Ok(())
    }

    /// The CPUs that packets are handed to by the hash of their flow, as a mask; 0: to none (`rps_cpus`).
    #[must_use]
    pub fn rps_cpus(&self) -> u64 {
        self.machine().steering.rps().mask()
    }

    /// Hands them to these CPUs, whichever queue they come in.
    ///
    /// # Errors
    /// `EINVAL` (`InvalidInput`) for a mask with no CPU of the host.
    pub fn set_rps_cpus(&self, mask: u64) -> io::Result<()> {
        let machine = self.machine();
        let online = u64::MAX >> (64 - machine.cpu_count());
        if mask != 0 && mask & online == 0 {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        machine.steering.set_rps(RpsMap::of(mask & online));
        Ok(())
    }

    /// Lets packets follow the readers of their flows, of which the tables know `entries` (`rps_sock_flow_entries` and
    /// `rps_flow_cnt`); 0 forgets them.
    ///
    /// # Differs from Linux
    /// A task stands on no CPU of its host, so nobody knows where a flow's reader runs unless
    /// [`record_reader`](Host::record_reader) tells.
    pub fn set_rfs(&self, entries: usize) {
        let steering = &self.machine().steering;
        *steering.flows.lock() = (entries > 0).then(|| FlowTable::new(entries));
        steering.bend();
    }

    /// The reader of the flow from `remote` to `local` runs on CPU `cpu` (`rps_record_sock_flow`, which Linux calls in each
    /// `recvmsg`). Its packets go there once what waits at their present CPU has been worked off, so that none is overtaken.
    ///
    /// # Errors
    /// `EINVAL` (`InvalidInput`) for a CPU that there is not, and for addresses of two families.
    pub fn record_reader(&self, remote: SocketAddr, local: SocketAddr, cpu: usize) -> io::Result<()> {
        let machine = self.machine();
        if cpu >= machine.cpu_count() || remote.is_ipv4() != local.is_ipv4() {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let hash = machine.steering.hash_of_flow((remote.ip(), remote.port()), (local.ip(), local.port()));
        if let Some(flows) = machine.steering.flows.lock().as_mut() {
            flows.record(hash, cpu);
        }
        Ok(())
    }

    /// The next `times` allocations of a receive buffer fail, on each queue: what `fail_page_alloc` does to a driver. The slots
    /// stay free and are tried again, by the driver itself when the device has no buffer left.
    pub fn fail_rx_allocations(&self, times: u64) {
        self.machine().nic.fail_rx_allocations(times);
    }
}

impl fmt::Display for RingParam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = |f: &mut fmt::Formatter<'_>, rx, tx| {
            writeln!(f, "RX:\t\t\t{rx}\nRX Mini:\t\tn/a\nRX Jumbo:\t\tn/a\nTX:\t\t\t{tx}")
        };
        writeln!(f, "Ring parameters for eth0:\nPre-set maximums:")?;
        table(f, self.rx_max, self.tx_max)?;
        writeln!(f, "Current hardware settings:")?;
        table(f, self.rx, self.tx)
    }
}

impl fmt::Display for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = |f: &mut fmt::Formatter<'_>, combined| {
            writeln!(f, "RX:\t\tn/a\nTX:\t\tn/a\nOther:\t\tn/a\nCombined:\t{combined}")
        };
        writeln!(f, "Channel parameters for eth0:\nPre-set maximums:")?;
        table(f, self.combined_max)?;
        writeln!(f, "Current hardware settings:")?;
        table(f, self.combined)
    }
}

impl fmt::Display for EthtoolStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "NIC statistics:")?;
        for (name, value) in self.total.named() {
            writeln!(f, "     {name}: {value}")?;
        }
        for (queue, stats) in self.queues.iter().enumerate() {
            writeln!(f, "     tx_queue_{queue}_packets: {}", stats.tx_packets)?;
            writeln!(f, "     tx_queue_{queue}_bytes: {}", stats.tx_bytes)?;
            writeln!(f, "     rx_queue_{queue}_packets: {}", stats.rx_packets)?;
            writeln!(f, "     rx_queue_{queue}_bytes: {}", stats.rx_bytes)?;
        }
        Ok(())
    }
}
