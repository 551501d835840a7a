//! `net.core`: what the owner of a host says of its receive path, before it is built and while it runs.
//!
//! Each setting is one word that its reader loads where it needs it, so a change counts from the next round of polls on.

use crate::host::counters::{Flag, Setting};
use crate::host::handle::Host;
use crate::host::rps::FlowLimit;
use std::io;
use std::time::Duration;

/// A host's settings, by Linux's names and with its defaults.
#[derive(Debug)]
pub(crate) struct NetCore {
    /// Packets that one `net_rx_action` may process.
    pub(crate) netdev_budget: Setting,
    /// How long it may go on: two jiffies at 1000 Hz.
    netdev_budget_usecs: Setting,
    /// How many frames one poll takes out of a backlog.
    pub(crate) dev_weight: Setting,
    /// Frames that wait in a CPU's backlog before more are dropped.
    pub(crate) netdev_max_backlog: Setting,
    /// How many segments go up the stack together.
    pub(crate) gro_normal_batch: Setting,
    /// For how long the readers of new sockets poll busily, in microseconds.
    pub(crate) busy_read: Setting,
    /// For how long who waits on an epoll polls busily, in microseconds.
    pub(crate) busy_poll: Setting,
    /// The buckets of flow limits that are switched on from here on.
    flow_limit_table_len: Setting,
    /// Whether any CPU has such a limit, for which frames need a hash.
    pub(crate) limits_flows: Flag,
}

impl Default for NetCore {
    fn default() -> NetCore {
        NetCore {
            netdev_budget: Setting::new(300),
            netdev_budget_usecs: Setting::new(2000),
            dev_weight: Setting::new(64),
            netdev_max_backlog: Setting::new(1000),
            gro_normal_batch: Setting::new(8),
            busy_read: Setting::new(0),
            busy_poll: Setting::new(0),
            flow_limit_table_len: Setting::new(4096),
            limits_flows: Flag::new(false),
        }
    }
}

impl NetCore {
    /// The setting with this name below `net.core.`, and the least and the most that it can be.
    fn find(&self, name: &str) -> Option<(&Setting, u32, u32)> {
        let most = i32::MAX as u32;
        Some(match name {
            "netdev_budget" => (&self.netdev_budget, 0, most),
            "netdev_budget_usecs" => (&self.netdev_budget_usecs, 0, most),
            "dev_weight" => (&self.dev_weight, 1, most),
            "netdev_max_backlog" => (&self.netdev_max_backlog, 0, most),
            "gro_normal_batch" => (&self.gro_normal_batch, 1, most),
            "busy_read" => (&self.busy_read, 0, most),
            "busy_poll" => (&self.busy_poll, 0, most),
            "flow_limit_table_len" => (&self.flow_limit_table_len, 1, FlowLimit::BUCKETS_MAX),
            _ => return None,
        })
    }

    /// Sets it.
    ///
    /// # Errors
    /// `ENOENT` for a name that there is not, `EINVAL` for a value out of bounds, and for a table whose length is no power of two.
    pub(crate) fn set(&self, name: &str, value: u32) -> io::Result<()> {
        let (setting, least, most) = self.find(name).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))?;
        let fits = (least..=most).contains(&value) && (name != "flow_limit_table_len" || value.is_power_of_two());
        if !fits {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        setting.set(value);
        Ok(())
    }

    pub(crate) fn budget_time(&self) -> Duration {
        Duration::from_micros(self.netdev_budget_usecs.get().into())
    }
}

impl Host {
    /// The value of a sysctl that can be set while the host runs: those of [`set_sysctl`](Host::set_sysctl).
    ///
    /// # Errors
    /// `ENOENT` (`NotFound`) for a name that there is not among them.
    pub fn sysctl(&self, name: &str) -> io::Result<u32> {
        let setting = name.strip_prefix("net.core.").and_then(|name| self.machine().core.find(name));
        setting.map(|(setting, ..)| setting.get()).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))
    }

    /// Sets, while the host runs: `net.core.netdev_budget`, `netdev_budget_usecs`, `dev_weight`, `netdev_max_backlog`,
    /// `gro_normal_batch`, `busy_read`, `busy_poll` (of epolls), `flow_limit_table_len`. They count from the next round of polls on, `busy_read` for sockets
    /// that are opened later, and the last one for limits that are switched on later. [`HostBuilder::sysctl`](crate::emulated::HostBuilder::sysctl) sets these and others beforehand.
    ///
    /// # Examples
    /// ```no_run
    /// # fn example(host: wakeline_net::emulated::Host) -> std::io::Result<()> {
    /// host.set_sysctl("net.core.netdev_budget", 600)?;
    /// assert_eq!(host.sysctl("net.core.netdev_budget")?, 600);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `ENOENT` (`NotFound`) for a name that there is not among them; `EINVAL` (`InvalidInput`) for a value that Linux refuses, and
    /// for a `dev_weight` of 0, with which a backlog would stand still.
    pub fn set_sysctl(&self, name: &str, value: u32) -> io::Result<()> {
        let name = name.strip_prefix("net.core.").ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))?;
        self.machine().core.set(name, value)?;
        if name == "busy_read" {
            self.machine().set_busy_read(value);
        }
        Ok(())
    }

    /// The CPUs whose backlogs a single flow can not fill, as a mask; 0: none (`net.core.flow_limit_cpu_bitmap`).
    #[must_use]
    pub fn flow_limit_cpus(&self) -> u64 {
        let machine = self.machine();
        (0..machine.cpu_count()).filter(|&cpu| machine.cpu(cpu).has_flow_limit()).fold(0, |mask, cpu| mask | 1 << cpu)
    }

    /// Lets the backlogs of these CPUs, once half full, lose the packets of a flow that had more than half of the last 128. They are
    /// counted as the backlog's, and in the 11th column of `softnet_stat`.
    ///
    /// # Errors
    /// `EINVAL` (`InvalidInput`) for a CPU that there is not.
    pub fn set_flow_limit_cpus(&self, mask: u64) -> io::Result<()> {
        let machine = self.machine();
        if mask & !(u64::MAX >> (64 - machine.cpu_count())) != 0 {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        machine.core.limits_flows.set(mask != 0);
        let buckets = machine.core.flow_limit_table_len.get();
        for cpu in 0..machine.cpu_count() {
            machine.cpu(cpu).set_flow_limit((mask & 1 << cpu != 0).then_some(buckets));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked_as_the_kernel_does() {
        let core = NetCore::default();
        let check = |name: &str, value: u32, errno: Option<i32>| {
            let error = core.set(name, value).err().and_then(|error| error.raw_os_error());
            assert_eq!(error, errno, "{name} = {value}");
        };
        check("netdev_budget", 0, None);
        check("netdev_budget", u32::MAX, Some(libc::EINVAL));
        check("netdev_budget_usecs", 8000, None);
        check("dev_weight", 0, Some(libc::EINVAL));
        check("gro_normal_batch", 0, Some(libc::EINVAL));
        check("gro_normal_batch", 1, None);
        check("flow_limit_table_len", 1000, Some(libc::EINVAL));
        check("flow_limit_table_len", 8192, None);
        check("netdev_tstamp_prequeue", 1, Some(libc::ENOENT));
        assert_eq!((core.netdev_budget.get(), core.budget_time()), (0, Duration::from_millis(8)));
    }
}
