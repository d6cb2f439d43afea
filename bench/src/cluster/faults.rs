//! What is done to the cluster, again and again; and when it is whole again.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde::Serialize;

use super::Replication;
use super::network::{self, NODES};
use super::node::{Member, Node};

/// One kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Fault {
    /// The primary's machine goes down, etcd and all, and comes back.
    KillPrimary,
    /// The primary's PostgreSQL alone is killed; Patroni sees it.
    KillPostgres,
    /// The primary sees no other node; servers still reach it.
    CutPrimary,
    /// The same, and nobody tells it to stand down: a stale primary that answers.
    CutStalePrimary,
    /// A standby's machine goes down and comes back.
    KillStandby,
    /// Both standbys lose their PostgreSQL: nothing may be acknowledged until one is back.
    KillStandbys,
}

impl Fault {
    pub(super) const ALL: [Self; 6] = [
        Self::KillPrimary,
        Self::CutPrimary,
        Self::KillStandby,
        Self::CutStalePrimary,
        Self::KillPostgres,
        Self::KillStandbys,
    ];

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::KillPrimary => "the primary's machine killed",
            Self::KillPostgres => "the primary's PostgreSQL killed",
            Self::CutPrimary => "the primary cut off, servers reach it",
            Self::CutStalePrimary => "the same, and it stays primary",
            Self::KillStandby => "a standby's machine killed",
            Self::KillStandbys => "both standbys killed",
        }
    }

    /// How long it lasts.
    fn lasts(self) -> Duration {
        Duration::from_secs(match self {
            Self::KillPrimary => 25,
            Self::KillPostgres => 1,
            Self::CutPrimary => 32,
            Self::CutStalePrimary => 45,
            Self::KillStandby | Self::KillStandbys => 10,
        })
    }

    /// Does it, waits, and undoes it.
    pub(super) fn happens(self, nodes: &[Node]) -> Result<()> {
        let primary = primary(nodes)?;
        let standbys: Vec<&Node> = nodes
            .iter()
            .filter(|node| node.number != primary.number)
            .collect();
        match self {
            Self::KillPrimary => primary.kill()?,
            Self::KillPostgres => primary.kill_postgres(),
            Self::CutPrimary => network::cut(primary.number)?,
            Self::CutStalePrimary => {
                primary.freeze(true);
                network::cut(primary.number)?;
            }
            Self::KillStandby => {
                for standby in standbys.iter().take(1) {
                    standby.kill()?;
                }
            }
            Self::KillStandbys => {
                for standby in standbys {
                    standby.kill_database()?;
                }
            }
        }
        std::thread::sleep(self.lasts());
        network::heal()?;
        primary.freeze(false);
        for node in nodes {
            node.start()?;
        }
        Ok(())
    }
}

/// The node that Patroni calls the leader.
pub(super) fn primary(nodes: &[Node]) -> Result<&Node> {
    let until = Instant::now() + Duration::from_mins(1);
    loop {
        if let Some(node) = nodes.iter().find(|node| node.is_primary()) {
            return Ok(node);
        }
        if Instant::now() > until {
            bail!("no node is the primary");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn is_whole(members: &[Member], replication: Replication) -> bool {
    let standby = match replication {
        Replication::Quorum => "quorum_standby",
        Replication::Async => "replica",
    };
    let count = |role: &str, state: &str| {
        let fits = |member: &&Member| member.role == role && member.state == state;
        members.iter().filter(fits).count()
    };
    let timeline = members.first().map(|member| member.timeline);
    members.len() == NODES
        && count("leader", "running") == 1
        && count(standby, "streaming") == NODES - 1
        && members
            .iter()
            .all(|member| Some(member.timeline) == timeline)
}

/// Waits until there are a primary and two standbys that follow it.
pub(super) fn wait_whole(nodes: &[Node], replication: Replication, most: Duration) -> Result<()> {
    let until = Instant::now() + most;
    loop {
        let seen: Vec<_> = nodes
            .iter()
            .filter_map(|node| node.members().ok())
            .collect();
        let whole = |members: &Vec<Member>| is_whole(members, replication);
        if seen.len() == NODES && seen.iter().all(whole) {
            return Ok(());
        }
        if Instant::now() > until {
            bail!("the cluster is not whole: {:?}", seen.first());
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_with_a_standby_that_does_not_follow_is_not_whole() {
        let member = |name: &str, role: &str, state: &str, timeline| Member {
            name: name.to_owned(),
            role: role.to_owned(),
            state: state.to_owned(),
            timeline,
        };
        let mut members = vec![
            member("n1", "leader", "running", 2),
            member("n2", "quorum_standby", "streaming", 2),
            member("n3", "quorum_standby", "streaming", 2),
        ];
        assert!(is_whole(&members, Replication::Quorum));
        assert!(!is_whole(&members, Replication::Async));
        assert!(!is_whole(&members[..2], Replication::Quorum));
        members[2].timeline = 1;
        assert!(!is_whole(&members, Replication::Quorum));
        members[2].timeline = 2;
        members[2].state = "starting".to_owned();
        assert!(!is_whole(&members, Replication::Quorum));
    }
}
