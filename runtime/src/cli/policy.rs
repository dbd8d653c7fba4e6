//! The operator's policy, as the processes that execute apps take it.

use std::path::PathBuf;

use clap::Args;
use ipnet::IpNet;

use super::failure::Failure;
use crate::policy::Policy;

#[derive(Debug, Args)]
pub struct PolicyArgs {
    /// What apps may use at most: a TOML file
    #[arg(long, env = "RELUME_POLICY", value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Lets apps reach a loopback or private network that they name, e.g. 127.0.0.1/32
    #[arg(long = "allow-network", value_name = "NETWORK")]
    allowed_networks: Vec<IpNet>,
}

impl PolicyArgs {
    /// Reads the file, if one is named, and adds what was typed.
    pub fn read(&self) -> Result<Policy, Failure> {
        let mut policy = match &self.policy {
            None => Policy::default(),
            Some(path) => {
                let wrong = |what: &str| Failure::new(format!("the policy `{}` {what}", path.display())).usage();
                let text = std::fs::read_to_string(path).map_err(|e| wrong("cannot be read").because(e))?;
                Policy::parse(&text).map_err(|e| wrong("is not valid").because(e.to_string().trim_end()))?
            }
        };
        policy.egress.allowed_networks.extend(&self.allowed_networks);
        Ok(policy)
    }
}
