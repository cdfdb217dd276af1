#!/usr/bin/perl
# A worker in Perl, from docs/control-port.md alone: `worker.pl CONTROL`. It runs two kinds:
#   sum  adds up the numbers that its input serves, "from N\n" being how it asks, one a line being the answer
#   pay  appends "epoch count" to the file `ledger`, at most once at a time
use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use JSON::PP;
use Time::HiRes qw(clock_gettime);

use constant { CLOCK_BOOTTIME => 7, PAUSE_S => 0.02, SAY_S => 0.05, FROZEN_AFTER_S => 1 };

my $json = JSON::PP->new->utf8->canonical;
my $peer = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die "$ARGV[0]: $!";
$peer->blocking(0);
$SIG{PIPE} = 'IGNORE';
$SIG{TERM} = sub { ask('leave', {}) };
my ($in, $out, $next, $anchor, $tick_s) = ('', '', 1, 0, 0);
my (%asked, %copies);

sub now { return clock_gettime(CLOCK_BOOTTIME) }

sub ask {
    my ($verb, $fields, $then) = @_;
    $asked{$next} = { at => now(), then => $then };
    $out .= $json->encode({ %$fields, verb => $verb, id => $next++ }) . "\n";
}

sub of { my ($copy) = @_; return (instance => $copy->{instance}, epoch => $copy->{epoch}) }

sub report {
    my ($copy, %news) = @_;
    ask('report', { of($copy), %news }, sub {
        my ($answer) = @_;
        print "$answer->{code}: $answer->{error}\n" unless $answer->{ok};
        forget($copy) if !$answer->{ok} && $answer->{code} eq 'over';
    });
}

sub handle { my ($copy) = @_; return unpack 'H*', pack 'Q>Q>', $copy->{count}, $copy->{sum} }

sub forget {
    my ($copy) = @_;
    $copy->{over} = 1;
    delete $copy->{socket};
    delete $copies{"$copy->{instance} $copy->{epoch}"};
}

sub end {
    my ($copy, $state) = @_;
    return if $copy->{over};
    forget($copy);
    report($copy, state => $state, progress => $copy->{count}, checkpoint => handle($copy));
}

sub start {
    my ($order) = @_;
    my $copy = { %$order, count => 0, sum => 0, said => 0, buffer => '' };
    ($copy->{count}, $copy->{sum}) = unpack 'Q>Q>', pack 'H*', $order->{resume_from} if $order->{resume_from} ne '';
    $copies{"$copy->{instance} $copy->{epoch}"} = $copy;
    print "start $copy->{instance} from $copy->{count}\n";
    $copy->{fence} = $anchor + $order->{fence_s} if defined $order->{fence_s};
    return end($copy, 'stopped') if defined $copy->{fence} && $copy->{fence} <= now();
    report($copy, state => 'running');
    look($copy) if $copy->{kind} eq 'sum';
}

# Connect to the input. Its endpoint may be that of a copy that has just died: if so, wait for another one.
sub look {
    my ($copy, $dead) = @_;
    my %but = defined $dead ? (other_than => $dead) : ();
    ask('locate', { of($copy), neighbour => $copy->{inputs}[0], wait => JSON::PP::true, %but }, sub {
        my ($answer) = @_;
        return if $copy->{over} || !$answer->{ok};
        my $socket = IO::Socket::INET->new(PeerAddr => $answer->{endpoint}) or return look($copy, $answer->{endpoint});
        $socket->syswrite("from $copy->{count}\n");
        $socket->blocking(0);
        @$copy{qw(socket buffer)} = ($socket, '');
    });
}

sub add_up {
    my ($copy) = @_;
    my $got = sysread $copy->{socket}, $copy->{buffer}, 65_536, length $copy->{buffer};
    if (defined $got ? $got == 0 : !$!{EAGAIN}) {
        delete $copy->{socket};
        return look($copy);
    }
    while ($copy->{buffer} =~ s/^(\d+)\n//) {
        die "expected $copy->{count}, got $1" if $1 != $copy->{count};
        $copy->{sum} += $copy->{count}++;
    }
    return if $copy->{count} < $copy->{parameters}{count};
    print "sum $copy->{sum}\n";
    end($copy, 'finished');
}

sub pay {
    my ($copy) = @_;
    open my $ledger, '>>', $copy->{parameters}{ledger} or die $!;
    syswrite $ledger, "$copy->{epoch} $copy->{count}\n";
    $copy->{count}++;
}

sub hear {
    my ($message) = @_;
    my $order = $message->{order} // '';
    if ($order eq 'start') { start($message) }
    elsif ($order eq 'stop') { end($copies{"$message->{instance} $message->{epoch}"} // { over => 1 }, 'stopped') }
    elsif ($order eq 'renew') {
        for my $fence (@{ $message->{fences} }) {
            my $copy = $copies{"$fence->{instance} $fence->{epoch}"} or next;
            $copy->{fence} = $anchor + $fence->{fence_s};
        }
    }
    elsif ($order eq 'end') { print "end: $message->{reason}\n"; exit 0 }
    return if $order ne '';
    my $request = delete $asked{ $message->{id} } or die 'an answer to nothing';
    $anchor = $request->{at} if $request->{at} > $anchor;
    $request->{then}->($message) if $request->{then};
}

sub work {
    my ($copy) = @_;
    if (defined $copy->{fence} && now() >= $copy->{fence}) { kill 'KILL', $$ }    # whatever it has begun ends, too
    return if now() < $copy->{said} + SAY_S;
    $copy->{said} = now();
    pay($copy) if $copy->{kind} eq 'pay';
    report($copy, progress => $copy->{count}, checkpoint => handle($copy), backlog => $copy->{kind} eq 'sum' ? 1 : 0);
}

sub attached {
    my ($answer) = @_;
    die $answer->{error} unless $answer->{ok};
    $tick_s = $answer->{tick_s};
    print "attached\n";
}

$| = 1;
ask('hello', { protocol => 1 });
ask('attach', { protocol => 1, kinds => ['sum', 'pay'], frozen_after_s => FROZEN_AFTER_S }, \&attached);
my $ticked = 0;
while (1) {
    my @sockets = map { $_->{socket} // () } values %copies;
    IO::Select->new($peer, @sockets)->can_read(PAUSE_S);
    work($_) for values %copies;    # first of all whether a fence has passed while this process was paused
    my $got = sysread $peer, $in, 65_536, length $in;
    if (defined $got ? $got == 0 : !$!{EAGAIN}) { exit 1 }    # nobody can say any more that the copies run
    while ($in =~ s/^([^\n]*)\n//) { hear($json->decode($1)) }
    for my $copy (values %copies) { add_up($copy) if $copy->{socket} }
    if ($tick_s && now() >= $ticked + $tick_s) { $ticked = now(); ask('tick', {}) }
    next if $out eq '';
    my $put = syswrite $peer, $out;
    if (defined $put) { substr($out, 0, $put) = '' }
    elsif (!$!{EAGAIN}) { exit 1 }
}
