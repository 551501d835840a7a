//! tokio's and hyper's traits on the streams, by the runtime's features of those names.

use crate::api::split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
use crate::api::tcp::TcpStream;
use crate::os;
use wakeline_runtime::io::ecosystem::{reader, writer};

reader!(TcpStream, ReadHalf<'_>, OwnedReadHalf, os::TcpStream);
writer!(TcpStream, WriteHalf<'_>, OwnedWriteHalf, os::TcpStream);
