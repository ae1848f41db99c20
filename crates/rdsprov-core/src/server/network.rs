//! Opens TCP connections.
//!
//! This module does not know TLS or PostgreSQL.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::sleep;

/// How long an address may take before the next address of the host is tried, too.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// How long sent data may stay without an acknowledgement of the network.
const UNACKNOWLEDGED: Duration = Duration::from_secs(60);

/// Connects to the first address of a host that answers.
///
/// An address that does not answer, such as that of a failed instance, does not use the time of the
/// others: each starts 250 ms after the one before, or as soon as that one fails.
///
/// # Errors
/// Returns the last error if no address can be connected to, or the host name cannot be resolved.
pub(super) async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = first_of(lookup_host((host, port)).await?.collect()).await?;
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    // Detects a server that disappears without closing the connection.
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(10))
        .with_retries(3);
    socket.set_tcp_keepalive(&keepalive)?;
    // The same for data that the server does not acknowledge: keepalives wait for it.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    Ok(stream)
}

/// Connects to the first of several addresses that answers.
async fn first_of(mut addresses: VecDeque<SocketAddr>) -> io::Result<TcpStream> {
    let mut attempts = FuturesUnordered::new();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
    loop {
        if let Some(address) = addresses.pop_front() {
            attempts.push(TcpStream::connect(address));
        } else if attempts.is_empty() {
            return Err(last);
        }
        tokio::select! {
            biased;
            Some(result) = attempts.next() => match result {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            },
            () = sleep(ATTEMPT_DELAY), if !addresses.is_empty() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each connection to a server is opened by this function.
    #[tokio::test]
    async fn dead_servers_are_detected() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = connect("127.0.0.1", listener.local_addr().unwrap().port()).await.unwrap();
        let socket = SockRef::from(&stream);
        assert!(stream.nodelay().unwrap() && socket.keepalive().unwrap());
        // The values of the operating system.
        let keepalive = (
            socket.tcp_keepalive_time().unwrap(),
            socket.tcp_keepalive_interval().unwrap(),
            socket.tcp_keepalive_retries().unwrap(),
        );
        assert_eq!(keepalive, (Duration::from_secs(30), Duration::from_secs(10), 3));
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(UNACKNOWLEDGED));
    }

    /// Runs a program that must succeed.
    #[cfg(target_os = "linux")]
    fn execute(program: &str, arguments: &[&str]) -> String {
        let output = std::process::Command::new(program).args(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {text}{error}");
        text
    }

    /// A network can drop everything without a word. The test below does so in a network namespace of its
    /// own.
    #[test]
    #[cfg(target_os = "linux")]
    fn connection_that_stops_acknowledging_ends() {
        let tests = std::env::current_exe().unwrap().display().to_string();
        let inner = "server::network::tests::network_drops_everything";
        let text = execute(
            "unshare",
            &["--map-root-user", "--net", &tests, "--exact", inner, "--ignored"],
        );
        assert!(text.contains("1 passed"), "{text}");
    }

    #[tokio::test]
    #[ignore = "needs a network namespace of its own"]
    #[cfg(target_os = "linux")]
    async fn network_drops_everything() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

        execute("ip", &["link", "set", "lo", "up"]);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut stream = connect("127.0.0.1", port).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        stream.write_all(b"1").await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), b'1');
        execute("tc", &["qdisc", "add", "dev", "lo", "root", "blackhole"]);
        stream.write_all(b"2").await.unwrap();
        // Without the limit, the operating system waits for more than 15 minutes.
        let ended = tokio::time::timeout(2 * UNACKNOWLEDGED, stream.read_u8()).await;
        let error = ended.expect("the connection is still open").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    /// Connects to these addresses, of which the last one listens.
    async fn connected(dead: &[&str]) -> io::Result<()> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        let dead = dead.iter().map(|address| address.parse().unwrap());
        first_of(dead.chain([open]).collect()).await.map(drop)
    }

    #[tokio::test]
    async fn dead_addresses_do_not_delay_the_others() {
        connected(&[]).await.unwrap();
        // Nothing listens on this port.
        connected(&["127.0.0.1:1", "127.0.0.1:1"]).await.unwrap();
        let refused = first_of(VecDeque::from(["127.0.0.1:1".parse().unwrap()])).await;
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(first_of(VecDeque::new()).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    /// A listener whose queue is full does not answer.
    #[tokio::test]
    async fn silent_addresses_do_not_delay_the_others() {
        let full =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        full.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        full.listen(0).unwrap();
        let silent = full.local_addr().unwrap().as_socket().unwrap();
        let mut queued = Vec::new();
        while let Ok(Ok(stream)) =
            tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(silent)).await
        {
            queued.push(stream);
        }
        connected(&[&silent.to_string(), &silent.to_string()]).await.unwrap();
    }
}
