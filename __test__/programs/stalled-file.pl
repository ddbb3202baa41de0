# Runs a command beside a file whose reads are never answered, and whose writes after three seconds, as of a network file
# system that is gone: perl stalled-file.pl <existing file> <command...>, in a mount namespace of its own. The file is a FUSE
# mount, served here.
# With SLOW_MS in the environment reads are answered, with zeros, but after so many milliseconds; and the kernel keeps who asks
# waiting for them.
use strict;
use warnings;
use POSIX ();

my $path = shift;
my $slow = $ENV{SLOW_MS};
sysopen(my $device, '/dev/fuse', POSIX::O_RDWR) or die "/dev/fuse: $!";
my $mount = `uname -m` =~ /x86_64/ ? 165 : 40;
my @texts = map { "$_\0" } ('stalled', $path, 'fuse', sprintf('fd=%d,rootmode=100000,user_id=0,group_id=0', fileno $device));
syscall($mount, $texts[0], $texts[1], $texts[2], 0, $texts[3]) == 0 or die "mount: $!";
exit 0 unless @ARGV;    # only asked whether it can be done
my $child = fork // die "fork: $!";
if ($child == 0) { exec { $ARGV[0] } @ARGV or die "$ARGV[0]: $!" }
$SIG{CHLD} = sub {
    waitpid $child, 0;
    exit $? >> 8 unless $? & 127;
    $SIG{$_} = 'DEFAULT' for 'TERM';
    kill $? & 127, $$;
};

my %answers = (
    3  => pack('QLL', 1, 0, 0) . pack('Q6L10', 1, 1 << 20, 0, 0, 0, 0, 0, 0, 0, 0100644, 1, 0, 0, 0, 4096, 0),    # GETATTR
    14 => pack('QLL', 1, 0, 0),                                                         # OPEN
    26 => pack('L4S2L2x32', 7, 31, $slow ? 0 : 65_536, $slow ? 0 : 1, 12, 9, 131_072, 1), # INIT: reading ahead waits for nobody
);
while (1) {
    next unless defined sysread $device, my $request, 1 << 20;
    my (undef, $operation, $unique) = unpack 'LLQ', $request;
    if ($operation == 16) {
        # WRITE: Linux does not let go of a process whose write has no answer.
        my $size = unpack 'L', substr $request, 40 + 16, 4;
        select undef, undef, undef, 3;
        syswrite $device, pack('LlQLL', 16 + 8, 0, $unique, $size, 0);
        next;
    }
    if ($operation == 15 && $slow) {
        my $size = unpack 'L', substr $request, 40 + 16, 4;
        select undef, undef, undef, $slow / 1000;
        syswrite $device, pack('LlQ', 16 + $size, 0, $unique) . "\0" x $size;
        next;
    }
    next if $operation == 15 || $operation == 36;                                       # READ, INTERRUPT: no answer, ever
    my $answer = $answers{$operation} // '';
    my $error = exists $answers{$operation} ? 0 : -38;
    syswrite $device, pack('LlQ', 16 + length $answer, $error, $unique) . $answer;
}
