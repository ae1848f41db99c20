//! The server restarts, stops, is out of connections or of disk space, becomes a standby, accepts no
//! changes, or ends sessions, at several moments of a run.

use std::path::PathBuf;
use std::process::Command;

use rdsprov_testkit::{Server, Shutdown};

use crate::fixture::Fixture;
use crate::operation::Operation;
use crate::site::Site;
use crate::tried::{Tried, in_parallel, points, selected};

/// What happens to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It crashes, and starts again at once.
    Crashes,
    /// It shuts down, and starts again after the run.
    ShutsDown,
    /// The administrator gets no more connections (53300).
    OutOfConnections,
    /// The disk of new databases is full (53100).
    OutOfDisk,
    /// Transactions are read-only by default (25006).
    ReadOnly,
    /// New connections reach a standby, which accepts no changes.
    FailsOver,
    /// A superuser ends the first session of the run, which holds the lock.
    EndsFirst,
    /// A superuser ends the last session of the run.
    EndsLast,
    /// A superuser ends all sessions.
    EndsAll,
}

const FAULTS: [Fault; 9] = [
    Fault::Crashes,
    Fault::ShutsDown,
    Fault::OutOfConnections,
    Fault::ReadOnly,
    Fault::FailsOver,
    Fault::EndsFirst,
    Fault::EndsLast,
    Fault::EndsAll,
    // New databases need the disk from then on.
    Fault::OutOfDisk,
];

/// The moments of a run at which each fault happens.
const MOMENTS: usize = 10;

/// What a fault needs on the server.
struct Disk(Option<PathBuf>);

impl Drop for Disk {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = Command::new("umount").arg("-l").arg(path).status();
        }
    }
}

impl Disk {
    /// Mounts a small disk for new databases. `None` if this system allows no mounts.
    fn mount(fixture: &Fixture) -> Option<Self> {
        let path = fixture.server.socket_directory().join("disk");
        std::fs::create_dir(&path).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64m,mode=0777", "tmpfs"]).arg(&path);
        if !mount.status().is_ok_and(|status| status.success()) {
            return None;
        }
        let disk = Self(Some(path.clone()));
        let own = Command::new("chown")
            .arg("--reference")
            .arg(fixture.server.data_directory())
            .arg(&path)
            .status();
        assert!(own.unwrap().success());
        let path = path.display();
        fixture.query(&format!("CREATE TABLESPACE small LOCATION '{path}'"));
        fixture.query("ALTER DATABASE template1 SET TABLESPACE small");
        Some(disk)
    }

    /// Fills the disk, or frees it again.
    fn fill(&self, is_full: bool) {
        let Some(path) = &self.0 else { return };
        let file = path.join("filler");
        if is_full {
            let _ = Command::new("dd")
                .args(["if=/dev/zero", "bs=1M"])
                .arg(format!("of={}", file.display()))
                .output();
        } else {
            let _ = std::fs::remove_file(file);
        }
    }
}

#[test]
fn server_fails_during_a_run() {
    let tried = Tried::default();
    let faults = selected(&FAULTS);
    if std::env::var("RDSPROV_FAULTS").is_ok() || std::env::var("RDSPROV_FAULTS_POINT").is_ok() {
        in_parallel(&faults, |(major, fault)| {
            let operations = match fault {
                Fault::OutOfDisk => &[Operation::Fresh][..],
                _ => &[Operation::Fresh, Operation::Drifted, Operation::OtherOwner],
            };
            for operation in operations {
                let mut site = Site::new(major, *operation);
                at_moments(&mut site, fault, &points(MOMENTS, 1), &tried);
            }
        });
    } else {
        // Each fault at another moment.
        in_parallel(&[0, 1], |half| {
            let mut faults = faults.iter().enumerate().filter(|(number, _)| number % 2 == half);
            let mut site = Site::new(faults.clone().next().unwrap().1.0, Operation::Fresh);
            faults.all(|(number, (_, fault))| at_moments(&mut site, *fault, &[number + 1], &tried));
        });
    }
    tried.report();
}

/// Lets a fault happen at some moments of a run. Returns whether all could be tried.
fn at_moments(site: &mut Site, fault: Fault, moments: &[usize], tried: &Tried) -> bool {
    let major = site.fixture.server.major();
    let operation = site.operation;
    let disk = match fault {
        Fault::OutOfDisk => Disk::mount(&site.fixture),
        _ => Some(Disk(None)),
    };
    let Some(disk) = disk else {
        println!("no disk can be mounted: OutOfDisk was not tried");
        return true;
    };
    let mut standby = None;
    for moment in moments {
        if fault == Fault::FailsOver && standby.is_none() {
            standby = Some(Server::start_standby_of(&site.fixture.server).unwrap());
        }
        let number = site.messages * (2 * moment - 1) / (2 * MOMENTS);
        let place = format!(
            "RDSPROV_FAULTS_OPERATION={fault:?} RDSPROV_FAULTS_POINT={moment} RDSPROV_TEST_PG={major}: \
             {operation:?}, message {number} of {}",
            site.messages
        );
        let kind = format!("{fault:?}, {operation:?}, PostgreSQL {major}");
        let succeeded = tried.point(&kind, &place, || {
            let (run, acted) = site.interrupt_at(
                &place,
                number,
                |_| begin(fault, site, &disk, standby.as_ref()),
                || end(fault, site, &disk),
            );
            assert!(acted, "{place}: the run has fewer messages");
            site.verify(&place, &run);
            run.code
        });
        if !succeeded && fault == Fault::OutOfDisk {
            return false;
        }
        if !succeeded {
            *site = Site::new(major, operation);
            standby = None;
        }
    }
    true
}

fn end_sessions(fixture: &Fixture, which: &str) {
    fixture.query(&format!(
        "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity
           WHERE usename ~ '^(platform_admin|shop_|wiki_)' ORDER BY backend_start {which}) x"
    ));
}

fn begin(fault: Fault, site: &Site, disk: &Disk, standby: Option<&Server>) {
    let server = &site.fixture.server;
    let query = |sql: &str| drop(site.fixture.query(sql));
    match fault {
        Fault::Crashes => {
            server.stop(Shutdown::Immediate).unwrap();
            server.start_again().unwrap();
        }
        Fault::ShutsDown => server.stop(Shutdown::Fast).unwrap(),
        Fault::OutOfConnections => query("ALTER ROLE platform_admin CONNECTION LIMIT 0"),
        Fault::OutOfDisk => disk.fill(true),
        Fault::ReadOnly => {
            query("ALTER SYSTEM SET default_transaction_read_only = on");
            query("SELECT pg_reload_conf()");
            query("SELECT pg_sleep(0.1)");
        }
        Fault::FailsOver => site.relay.switch_to(standby.unwrap()),
        Fault::EndsFirst => end_sessions(&site.fixture, "LIMIT 1"),
        Fault::EndsLast => end_sessions(&site.fixture, "DESC LIMIT 1"),
        Fault::EndsAll => end_sessions(&site.fixture, ""),
    }
}

fn end(fault: Fault, site: &Site, disk: &Disk) {
    let query = |sql: &str| drop(site.fixture.query(sql));
    match fault {
        Fault::ShutsDown => site.fixture.server.start_again().unwrap(),
        Fault::OutOfConnections => query("ALTER ROLE platform_admin CONNECTION LIMIT -1"),
        Fault::OutOfDisk => disk.fill(false),
        Fault::ReadOnly => {
            site.fixture.server.script_as_superuser(
                "SET default_transaction_read_only = off; ALTER SYSTEM RESET default_transaction_read_only;
                 SELECT pg_reload_conf(); SELECT pg_sleep(0.1)",
            ).unwrap();
        }
        Fault::FailsOver => site.relay.switch_to(&site.fixture.server),
        Fault::Crashes | Fault::EndsFirst | Fault::EndsLast | Fault::EndsAll => {}
    }
}
