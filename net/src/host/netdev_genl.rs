//! The NAPI instances of a host's device, one by one: what `napi-get` and `napi-set` of the `netdev` netlink family are for.

use crate::host::driver::NapiSettings;
use crate::host::handle::Host;
use std::io;

/// One NAPI instance (`napi-get`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NapiInstance {
    /// Its name among all of the host's. It stays with its queue, also when that goes and comes back.
    pub id: u32,
    /// The queue that it polls.
    pub queue: usize,
    /// The interrupt that schedules it.
    pub irq: u32,
    /// How it is set.
    pub settings: NapiSettings,
}

/// `NR_CPUS` + 1: lower numbers are those of CPUs.
const FIRST_ID: u32 = 257;

impl Host {
    /// The instances of the queues that are in use (`napi-get --dump`).
    #[must_use]
    pub fn napi_instances(&self) -> Vec<NapiInstance> {
        let machine = self.machine();
        let instance = |queue: usize| NapiInstance {
            id: FIRST_ID + queue as u32,
            queue,
            irq: machine.nic.line(queue).number(),
            settings: machine.driver.settings(queue),
        };
        (0..machine.nic.queue_count()).map(instance).collect()
    }

    /// Sets one of them (`napi-set`). It keeps that while its queue is not in use; [`set_napi`](Host::set_napi) sets all.
    ///
    /// # Examples
    /// ```no_run
    /// # fn example(host: wakeline_net::emulated::Host) -> std::io::Result<()> {
    /// use std::time::Duration;
    /// use wakeline_net::emulated::NapiSettings;
    ///
    /// let first = host.napi_instances()[0];
    /// host.set_napi_instance(
    ///     first.id,
    ///     NapiSettings { irq_suspend_timeout: Duration::from_millis(20), ..first.settings },
    /// )?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `ENOENT` (`NotFound`) for an instance that there is not, `ERANGE` for more than `i32::MAX` polls.
    pub fn set_napi_instance(&self, id: u32, settings: NapiSettings) -> io::Result<()> {
        settings.check()?;
        let queue = id.checked_sub(FIRST_ID).map(|queue| queue as usize);
        let queue = queue.filter(|&queue| queue < self.machine().nic.queue_count());
        let queue = queue.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))?;
        self.machine().driver.set_one(queue, settings);
        Ok(())
    }
}
