//! TAP devices (Linux): the way out of the emulation, into the kernel's network and through it into the world.
//!
//! The kernel sees an Ethernet interface; this process holds the other end of its cable as a file descriptor. What leaves
//! the LAN through its port ([`crate::link::uplink`]) is written there, and what the kernel sends is read there, by one task
//! ([`pump`]) on the runtime's reactor, with what one side leaves to the other before each frame ([`vnet`]). The device ([`device`]) is opened by the `tun-rs` library, because the ioctls need
//! `unsafe`. Which LAN it is plugged into is said in `host`.

mod device;
pub(crate) mod port;
pub(crate) mod pump;
mod vnet;

use crate::link::netem::{Links, Netem};
use crate::link::port::Port;
use crate::link::switch::{PortId, Switch};
use crate::link::uplink::Uplink;
use crate::nic::offloads::Offloads;
use crate::packet::Pool;
use device::Device;
use port::TapPort;
use pump::{Ends, Meter, Pump};
use std::io;
use std::sync::Arc;
use wakeline_runtime::{Handle, namespace};

/// A TAP device of the Linux kernel that is not plugged into a LAN yet.
///
/// # Addresses
/// Hosts of a LAN are 10.0.0.1, 10.0.0.2 and so on in 10.0.0.0/16, and fd00::1 and so on in fd00::/64. The kernel's side of the
/// device needs addresses in the same networks that no host will get:
/// ```text
/// sudo ip tuntap add dev tap0 mode tap user $USER    # or run as root, and the device comes into being when it is opened
/// sudo ip addr add 10.0.255.1/16 dev tap0
/// sudo ip addr add fd00::1:1/64 dev tap0
/// sudo ip link set tap0 up
/// ```
///
/// # Examples
/// ```no_run
/// use wakeline_net::emulated::{Lan, Tap};
///
/// async fn open_the_lan() -> std::io::Result<()> {
///     let lan = Lan::new();
///     let server = lan.host("server").build()?;
///     let port = lan.attach(Tap::open("tap0")?)?;
///     println!("ping {} through {}", server.addr(), port.name());
///     # Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct Tap {
    device: Device,
    links: Links,
}

impl Tap {
    /// Opens the TAP device `name`, or makes it when there is none. A device that was made here goes away when it is closed.
    ///
    /// With `%d` in the name the kernel picks a number. The address and the state of the interface are left as they are.
    ///
    /// # Errors
    /// Each with a text that says what to do:
    /// - `InvalidInput` when the name has more than 15 bytes or an interface of another kind has it;
    /// - `NotFound` when there is no `/dev/net/tun`, `PermissionDenied` when it may not be opened;
    /// - `PermissionDenied` when the device belongs to another user, or is to be made, without `CAP_NET_ADMIN`;
    /// - `ResourceBusy` when another program holds it.
    pub fn open(name: &str) -> io::Result<Tap> {
        Ok(Tap { device: Device::open(name, true)?, links: Netem::new().into() })
    }

    /// The same without offloads: every frame passes the device as it would a wire, no longer than the interface's MTU and with
    /// its checksums made.
    ///
    /// With them, as [`open`](Tap::open) has it, the kernel sends super-segments and leaves their checksums to the LAN, where the
    /// receiver's device takes them as they are or they are cut on the way to it; and the kernel takes from a host what
    /// that host's [`Offloads`](crate::emulated::Offloads) leave to its device.
    ///
    /// # Errors
    /// As [`open`](Tap::open).
    pub fn open_plain(name: &str) -> io::Result<Tap> {
        Ok(Tap { device: Device::open(name, false)?, links: Netem::new().into() })
    }

    /// How the cable between the LAN and the device treats frames, in each direction; perfect by default.
    #[must_use]
    pub fn link(mut self, netem: Netem) -> Tap {
        self.links = netem.into();
        self
    }

    /// How the cable treats the frames that the kernel sends; leaves the other direction as it is.
    #[must_use]
    pub fn egress(mut self, netem: Netem) -> Tap {
        self.links.up = netem;
        self
    }

    /// How the cable treats the frames for the kernel; leaves the other direction as it is.
    #[must_use]
    pub fn ingress(mut self, netem: Netem) -> Tap {
        self.links.down = netem;
        self
    }

    /// The name of the kernel's interface.
    #[must_use]
    pub fn name(&self) -> &str {
        self.device.name()
    }

    /// What the kernel takes over from a sender's device.
    pub(crate) fn offloads(&self) -> Offloads {
        if self.device.has_vnet_header() { Offloads::RX_CHECKSUMMING | Offloads::RX_GRO_HW } else { Offloads::empty() }
    }

    /// The cable's treatment of frames, for whoever makes the port.
    pub(crate) fn links(&self) -> Links {
        self.links
    }

    /// Begins to carry frames between the device and a port of a LAN, as a task of `handle`.
    pub(crate) fn start(self, place: Place, handle: &Handle) -> io::Result<TapPort> {
        let meter = Arc::new(Meter::default());
        let name = self.device.name().to_owned();
        let Place { switch, id, port, uplink, pool } = place;
        let pump = Pump::new(Ends {
            device: self.device,
            switch: switch.clone(),
            port_id: id,
            port: port.clone(),
            uplink: uplink.clone(),
            meter: meter.clone(),
            pool,
        })?;
        // The pump stands on no network, whoever plugs the device in.
        let _outermost = namespace::enter(None);
        drop(handle.spawn(pump));
        Ok(TapPort { name, switch, id, port, uplink, meter })
    }
}

/// Where in a LAN a device is plugged in.
pub(crate) struct Place {
    pub(crate) switch: Arc<Switch>,
    pub(crate) id: PortId,
    pub(crate) port: Arc<Port>,
    pub(crate) uplink: Arc<Uplink>,
    pub(crate) pool: Pool,
}
