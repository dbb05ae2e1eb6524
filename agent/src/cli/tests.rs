use clap::CommandFactory as _;

use super::Cli;

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn the_manual_page_has_every_command() {
    let page = String::from_utf8(super::manual().unwrap()).unwrap();
    for command in Cli::command().get_subcommands() {
        assert!(page.contains(command.get_name()), "{}", command.get_name());
    }
    assert!(page.contains("metrics\\-addr"));
}
