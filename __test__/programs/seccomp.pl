# Runs a command in which the io_uring system calls fail as in a container: perl seccomp.pl <errno> <command...>
use strict;
use warnings;

my $errno = shift;
my ($first, $last) = (425, 427);    # io_uring_setup, io_uring_enter, io_uring_register: the same numbers everywhere
my @program = (
    pack('SCCL', 0x20, 0, 0, 0),                      # load the system call's number
    pack('SCCL', 0x35, 0, 2, $first),                 # less than the first: allow
    pack('SCCL', 0x25, 1, 0, $last),                  # greater than the last: allow
    pack('SCCL', 0x06, 0, 0, 0x0005_0000 | $errno),
    pack('SCCL', 0x06, 0, 0, 0x7fff_0000),
);
my $instructions = join '', @program;
my $filter = pack('Sx![P]P', scalar @program, $instructions);
my $prctl = `uname -m` =~ /x86_64/ ? 157 : 167;
syscall($prctl, 38, 1, 0, 0, 0) == 0 or die "no_new_privs: $!";
syscall($prctl, 22, 2, $filter) == 0 or die "seccomp: $!";
exec { $ARGV[0] } @ARGV or die "$ARGV[0]: $!";
