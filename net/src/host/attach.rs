//! Plugging a TAP device into a LAN.

use crate::engine::Spawner;
use crate::host::lan::Lan;
use crate::link::capture::stands;
use crate::link::port::{Port, Sink};
use crate::link::uplink::Uplink;
use crate::tap::port::TapPort;
use crate::tap::{Place, Tap};
use std::io;
use std::sync::Arc;
use wakeline_runtime::Handle;

impl Lan {
    /// Plugs a TAP device in: what is for no host of this LAN, and what is for all, goes out by it, and what the kernel
    /// sends into it comes in. A task of the current runtime carries the frames, also for hosts that run on threads.
    ///
    /// Any number of stations may stand behind the device, such as those of a bridge. Two devices on one LAN join what is
    /// behind them through it.
    ///
    /// # Errors
    /// `Unsupported` when the clock is virtual or paused: the kernel does not wait; `Other` outside a runtime; and what the
    /// operating system says about watching the device.
    ///
    /// # Panics
    /// In a runtime that was built without `enable_io`.
    pub fn attach(&self, tap: Tap) -> io::Result<TapPort> {
        let handle = Handle::try_current()
            .map_err(|_| io::Error::other("a TAP device needs a runtime to carry its frames: attach it inside one"))?;
        if stands(handle.clock()) || stands(&self.0.clock) {
            let text = "a TAP device lives in the kernel's time, and this network in a virtual one";
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        let links = tap.links();
        let uplink = Arc::new(Uplink::default());
        let port = Arc::new(Port::new(
            tap.name().into(),
            None,
            Sink::Uplink(uplink.clone(), tap.offloads()),
            links,
            &mut self.0.fork_rng(),
        ));
        let switch = self.0.switch.clone();
        let id = switch.plug(port.clone()).expect("an uplink has no address that could be taken");
        let place = Place { switch, id, port: port.clone(), uplink, pool: self.0.pool.clone() };
        let plugged = tap.start(place, &handle).inspect_err(|_| self.0.switch.unplug(id))?;
        self.0.start_delay_lines(&Spawner::Runtime(handle), plugged.name(), links, &port, id)?;
        Ok(plugged)
    }
}
