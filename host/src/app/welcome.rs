//! What a person sees when the host is up.

use super::Running;
use std::path::Path;

/// On standard output, so that it can be read apart from the log.
pub fn print(running: &Running, trial: bool, directory: &Path) {
    let address = running.address;
    println!("Anyport listens on http://{address}");
    println!("  data:          {}", directory.display());
    match (&running.keys.workspace, &running.keys.operator) {
        (Some(workspace), Some(operator)) => {
            println!("  API key:       {workspace}");
            println!("  operator key:  {operator}");
            if running.keys.new && !trial {
                println!("  These keys are shown this once. Keep them.");
            }
        }
        _ => println!("  API key:       the one that the first start printed"),
    }
    if !trial {
        return;
    }
    println!();
    println!(
        "Nothing is configured, so this is a trial: providers and webhooks may reach loopback"
    );
    println!("addresses of this machine, which a configured host refuses unless it allows them.");
    if let Some(simulator) = running.simulator {
        println!("The simulator channel runs on {simulator}.");
    }
    if let Some(key) = &running.keys.workspace {
        println!();
        println!("Try it:");
        println!("  curl -s -X POST http://{address}/v1/accounts -H 'X-Api-Key: {key}' \\");
        println!("    -H 'Content-Type: application/json' \\");
        println!(
            "    -d '{{\"provider\":\"simulator\",\"auth_mode\":\"code\",\"provider_data\":{{\"user\":\"ada\"}}}}'"
        );
        println!("The README goes on from there: sign in, send, receive.");
    }
}
