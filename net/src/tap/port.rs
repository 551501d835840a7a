//! The handle by which users hold a TAP device that is plugged into a LAN.

use crate::event::{DropReason, Drops};
use crate::link::port::Port;
use crate::link::switch::{PortId, Switch};
use crate::link::uplink::Uplink;
use crate::tap::pump::{Carried, Meter};
use std::sync::Arc;

/// A TAP device that is plugged into a LAN. Dropping it unplugs and closes the device.
#[derive(Debug)]
#[must_use = "the device is unplugged when its port drops"]
pub struct TapPort {
    pub(crate) name: String,
    pub(crate) switch: Arc<Switch>,
    pub(crate) id: PortId,
    pub(crate) port: Arc<Port>,
    pub(crate) uplink: Arc<Uplink>,
    pub(crate) meter: Arc<Meter>,
}

impl TapPort {
    /// The name of the kernel's interface.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the port has carried since it was plugged in.
    #[must_use]
    pub fn carried(&self) -> Carried {
        self.meter.read()
    }

    /// What the port has lost: `QDISC_DROP` when the device did not take frames as fast as they came, `DEV_READY` when the
    /// interface was down, `NOMEM`, `NO_PORT`, and what the link's [`Netem`](crate::emulated::Netem) lost.
    #[must_use]
    pub fn drops(&self) -> Drops {
        let mut drops = self.port.up.drops();
        drops.add(&self.port.down.drops());
        drops
    }
}

impl Drop for TapPort {
    fn drop(&mut self) {
        self.switch.unplug(self.id);
        // The pump sees it, ends, and with it the device closes.
        for _ in 0..self.uplink.close() {
            self.port.down.count_drop(DropReason::DevReady);
        }
    }
}
