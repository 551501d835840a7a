//! The file descriptor of a TAP device: opening it, with errors that say what to do, and what the reactor needs of it.

use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use std::fmt;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::AsRawFd;
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

/// One end of a TAP device, non-blocking: each read takes one frame, each write gives one.
pub(crate) struct Device {
    file: SyncDevice,
    name: String,
    has_vnet_header: bool,
}

/// `IFNAMSIZ` without its final zero.
const NAME_BYTES_MAX: usize = 15;
const CONTROL: &str = "/dev/net/tun";

impl Device {
    /// With `offloads` each frame comes and goes behind a [`VnetHeader`](crate::tap::vnet::VnetHeader), where the kernel has that.
    pub(crate) fn open(name: &str, offloads: bool) -> io::Result<Device> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains('\0') {
            let text = format!("{name:?} can not be the name of an interface: it has 1 to {NAME_BYTES_MAX} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        // The library opens it again and would not say which of its steps failed.
        File::options().read(true).write(true).open(CONTROL).map_err(without_control)?;
        let build = |offload| {
            let builder = DeviceBuilder::new().name(name).layer(Layer::L2).inherit_enable_state();
            Ok((builder.offload(offload).build_sync()?, offload))
        };
        let without = |error: io::Error| match error.raw_os_error() {
            // Perhaps only the offloads are refused.
            Some(libc::EINVAL) if offloads => build(false),
            _ => Err(error),
        };
        let (file, has_vnet_header) = build(offloads).or_else(without).map_err(|error| without_device(name, &error))?;
        file.set_nonblocking(true)?;
        let name = file.name()?;
        Ok(Device { file, name, has_vnet_header })
    }

    pub(crate) fn has_vnet_header(&self) -> bool {
        self.has_vnet_header
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Takes the next frame into `bufs`, one after the other, and gives its length.
    pub(crate) fn read(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.file.recv_vectored(bufs)
    }

    /// Gives one frame to the kernel.
    pub(crate) fn write(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.file.send_vectored(bufs)
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").field("name", &self.name).field("fd", &self.file.as_raw_fd()).finish()
    }
}

impl Source for Device {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.file.as_raw_fd()).register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.file.as_raw_fd()).reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        SourceFd(&self.file.as_raw_fd()).deregister(registry)
    }
}

/// Why `/dev/net/tun` does not open.
fn without_control(error: io::Error) -> io::Error {
    let advice = match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => {
            "this kernel has no TAP devices here: load the module with `modprobe tun`, and in a container pass the device \
             on (docker: --device /dev/net/tun)"
        }
        Some(libc::EACCES | libc::EPERM) => {
            "this user may not open it: `sudo chmod 0666 /dev/net/tun`, the kernel's usual mode, or run as root"
        }
        _ => return error,
    };
    io::Error::new(kind_of(&error), format!("{CONTROL}: {error}: {advice}"))
}

/// Why the kernel does not give the device.
fn without_device(name: &str, error: &io::Error) -> io::Error {
    let advice = match error.raw_os_error() {
        Some(libc::EPERM) => format!(
            "it needs the capability CAP_NET_ADMIN; or have the device made for this user: `sudo ip tuntap add dev {name} \
             mode tap user $USER`"
        ),
        Some(libc::EBUSY) => "another program holds it".to_owned(),
        Some(libc::EINVAL) => format!(
            "there is an interface of that name which is no TAP device, or the name is none (see `ip -details link show {name}`)"
        ),
        _ => "the kernel refuses the device".to_owned(),
    };
    io::Error::new(kind_of(error), format!("{name}: {error}: {advice}"))
}

fn kind_of(error: &io::Error) -> io::ErrorKind {
    match error.raw_os_error() {
        Some(libc::ENODEV | libc::ENXIO) => io::ErrorKind::NotFound,
        _ => error.kind(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_no_interface_can_have_is_refused_before_the_kernel_sees_it() {
        for name in ["", "sixteen-bytes-xx", "nul\0"] {
            let error = Device::open(name, true).expect_err("no such name");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(error.to_string().contains("1 to 15 bytes"), "{error}");
        }
    }

    #[test]
    fn each_refusal_says_what_to_do() {
        let check = |number, kind, advice: &str| {
            let error = without_device("tap0", &io::Error::from_raw_os_error(number));
            assert_eq!(error.kind(), kind);
            assert!(error.to_string().starts_with("tap0: ") && error.to_string().contains(advice), "{error}");
        };
        check(libc::EPERM, io::ErrorKind::PermissionDenied, "CAP_NET_ADMIN");
        check(libc::EBUSY, io::ErrorKind::ResourceBusy, "another program");
        check(libc::EINVAL, io::ErrorKind::InvalidInput, "no TAP device");
        let error = without_control(io::Error::from_raw_os_error(libc::ENODEV));
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().contains("modprobe tun"), "{error}");
    }
}
