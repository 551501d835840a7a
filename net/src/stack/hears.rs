//! From where a socket hears: through which device (SO_BINDTODEVICE), and on which CPU it would rather (SO_INCOMING_CPU).

use crate::packet::PacketBuf;
use crate::sockopt::{Opt, Value};
use crate::stack::error::SocketError;

/// See the [module](self). Both are numbers that no interface and no CPU has, where nothing is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hears {
    /// `sk_bound_dev_if`
    device: u8,
    /// `sk_incoming_cpu`; a host has at most 64.
    cpu: u8,
}

/// Where a packet arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ingress {
    pub(crate) device: u8,
    pub(crate) cpu: u8,
}

/// No interface has this number.
pub(crate) const NO_DEVICE: u8 = 0;
/// The number of `lo`: what a host sends to itself comes from there.
pub(crate) const LOOPBACK: u8 = 1;
/// That of the host's device.
pub(crate) const DEVICE: u8 = 2;
const NO_CPU: u8 = u8::MAX;

impl Ingress {
    /// Of `packet`, on `cpu`.
    #[inline]
    pub(crate) fn of(packet: &PacketBuf, cpu: u32) -> Ingress {
        // What comes from a device comes in a queue.
        Ingress { device: if packet.rx.rx_queue > 0 { DEVICE } else { LOOPBACK }, cpu: cpu as u8 }
    }
}

impl Hears {
    /// From anywhere.
    pub(crate) const fn new() -> Hears {
        Hears { device: NO_DEVICE, cpu: NO_CPU }
    }

    /// `sock_setsockopt`; a device by its number.
    ///
    /// # Errors
    /// `OptionUnknown`.
    pub(crate) fn set(&mut self, opt: Opt, value: Value) -> Result<(), SocketError> {
        match (opt, value) {
            (Opt::BoundDevice, Value::Number(n)) => self.device = n as u8,
            // Linux takes any number, too; those of no CPU of ours are alike.
            (Opt::IncomingCpu, Value::Number(n)) => self.cpu = u8::try_from(n).unwrap_or(NO_CPU),
            _ => return Err(SocketError::OptionUnknown),
        }
        Ok(())
    }

    /// `sock_getsockopt`; a device by its number, and no CPU as -1.
    ///
    /// # Errors
    /// `OptionUnknown`.
    pub(crate) fn get(&self, opt: Opt) -> Result<Value, SocketError> {
        Ok(Value::Number(match opt {
            Opt::BoundDevice => self.device.into(),
            Opt::IncomingCpu if self.cpu == NO_CPU => u32::MAX,
            Opt::IncomingCpu => self.cpu.into(),
            _ => return Err(SocketError::OptionUnknown),
        }))
    }

    /// Whether it hears what arrives there.
    #[inline]
    pub(crate) fn admits(&self, at: Ingress) -> bool {
        self.device == NO_DEVICE || self.device == at.device
    }

    /// Whether it is bound to a device.
    pub(crate) fn has_device(&self) -> bool {
        self.device != NO_DEVICE
    }

    /// Whether it is bound to the same device, or, like the other, to none.
    pub(crate) fn has_device_of(&self, other: &Hears) -> bool {
        self.device == other.device
    }

    /// Whether each of the two is bound to a device, and these differ: they are not in each other's way.
    pub(crate) fn is_apart_from(&self, other: &Hears) -> bool {
        self.has_device() && other.has_device() && !self.has_device_of(other)
    }

    /// Whether it asks for a CPU.
    pub(crate) fn has_cpu(&self) -> bool {
        self.cpu != NO_CPU
    }

    /// Whether it asks for this one.
    #[inline]
    pub(crate) fn prefers(&self, at: Ingress) -> bool {
        self.cpu == at.cpu
    }
}
