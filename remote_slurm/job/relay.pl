# Connects to ports of the node for the sidecar, many at once, over standard input and output: site/relay.py says how.
# Ends with its input, or if nothing has come for $quiet seconds: a connection that is frozen ends nothing.
# It uses no module, since distributions package those of Perl apart. The numbers are those of Linux.
use strict;

my ($hello, $quiet) = @ARGV;
my ($ROOM, $CHUNK, $MOST_HELD) = (1 << 20, 32 << 10, 256 << 10);
my ($INET, $INET6, $STREAM, $SOCKET, $ERROR, $SETFL, $NONBLOCK) = (2, 10, 1, 1, 4, 4, 2048);
my ($AGAIN, $INTERRUPTED, $IN_PROGRESS) = (11, 4, 115);
my ($input, $output) = ('', "$hello\n");
my (%connections, @listening);

# Slurm sends signals that a pod asks for (--signal=USR1@600) to all steps of the job. TERM comes with its end.
$SIG{$_} = 'IGNORE' for qw(PIPE USR1 USR2 HUP INT QUIT ALRM);
fcntl(STDOUT, $SETFL, $NONBLOCK | 1);

sub emit {
    my ($kind, $id, $number, $data) = @_;
    $output .= pack('aNN', $kind, $id, $number) . (defined $data ? $data : '');
}

sub later { return $! == $AGAIN || $! == $INTERRUPTED }

# The node's own address comes last: a program may listen on that alone.
sub addresses {
    my ($port) = @_;
    my @found = (
        [$INET, pack('S n a4 x8', $INET, $port, "\x7f\0\0\1")],
        [$INET6, pack('S n N a16 N', $INET6, $port, 0, "\0" x 15 . "\1", 0)],
    );
    if (open(my $file, '<', '/proc/sys/kernel/hostname')) {
        chomp(my $name = <$file>);
        my (undef, undef, undef, undef, @own) = gethostbyname($name);
        push @found, map { [$INET, pack('S n a4 x8', $INET, $port, $_)] } grep { length == 4 && $_ ne "\x7f\0\0\1" } @own;
    }
    return @found;
}

# Connect to the next address of the port, as long as there is one.
sub try_next {
    my ($c) = @_;
    while (my $next = shift @{$c->{addresses}}) {
        my ($family, $address) = @$next;
        my $socket;
        my $made = socket($socket, $family, $STREAM, 0) && fcntl($socket, $SETFL, $NONBLOCK);
        if ($made && (connect($socket, $address) || $! == $IN_PROGRESS)) {
            setsockopt($socket, 6, 1, pack('i', 1));
            @$c{'socket', 'connecting'} = ($socket, 1);
            return;
        }
        $c->{why} ||= "$!";
    }
    delete $connections{$c->{id}};
    emit('R', $c->{id}, length $c->{why}, $c->{why});
}

sub connected {
    my ($c) = @_;
    local $! = unpack('i', getsockopt($c->{socket}, $SOCKET, $ERROR));
    if ($! != 0) {
        $c->{why} ||= "$!";
        try_next($c);
    } else {
        $c->{connecting} = 0;
        emit('A', $c->{id}, 0);
        end_if_over($c);
    }
}

sub end {
    my ($c) = @_;
    delete $connections{$c->{id}};
    close $c->{socket} if $c->{socket};
    emit('C', $c->{id}, 0);
}

sub end_if_over {
    my ($c) = @_;
    return if length $c->{data} || !$c->{sent_all};
    shutdown($c->{socket}, 1) unless $c->{shut}++;
    end($c) if $c->{read_all};
}

sub write_to {
    my ($c) = @_;
    my $size = syswrite($c->{socket}, $c->{data}, $CHUNK);
    if (!defined $size) {
        end($c) unless later();
        return;
    }
    substr($c->{data}, 0, $size, '');
    $c->{written} += $size;
    if ($c->{written} >= $ROOM / 8) {
        emit('W', $c->{id}, $c->{written});
        $c->{written} = 0;
    }
    end_if_over($c);
}

sub read_from {
    my ($c) = @_;
    my $most = $c->{credit} < $CHUNK ? $c->{credit} : $CHUNK;
    my $size = sysread($c->{socket}, my $data, $most);
    if (!defined $size) {
        end($c) unless later();
    } elsif ($size == 0) {
        $c->{read_all} = 1;
        emit('E', $c->{id}, 0);
        end_if_over($c);
    } else {
        $c->{credit} -= $size;
        emit('D', $c->{id}, $size, $data);
    }
}

# Listens as long as the relay runs, and accepts nothing: the kernel answers. 0 if that fails
sub free_port {
    return 0 unless socket(my $socket, $INET, $STREAM, 0);
    push @listening, $socket;
    return 0 unless bind($socket, pack('S n a4 x8', $INET, 0, "\0" x 4)) && listen($socket, 1);
    return (unpack('S n', getsockname($socket)))[1];
}

sub handle {
    my ($kind, $id, $number, $data) = @_;
    if ($kind eq 'O') {
        my $new = {id => $id, addresses => [addresses($number)], data => '', why => '', credit => 0, written => 0};
        $connections{$id} = $new;
        return try_next($new);
    }
    return emit('P', 0, 0) if $kind eq 'P';
    return emit('L', 0, free_port()) if $kind eq 'L';
    my $c = $connections{$id} or return;
    if ($kind eq 'D') { $c->{data} .= $data }
    elsif ($kind eq 'W') { $c->{credit} += $number }
    elsif ($kind eq 'E') { $c->{sent_all} = 1; end_if_over($c) unless $c->{connecting} }
    elsif ($kind eq 'C') { end($c) }
}

sub take {
    while (length $input >= 9) {
        my ($kind, $id, $number) = unpack('aNN', $input);
        my $size = 9 + ($kind eq 'D' ? $number : 0);
        return if length $input < $size;
        my $data = substr($input, 9, $size - 9);
        substr($input, 0, $size, '');
        handle($kind, $id, $number, $data);
    }
}

my $heard = time;
while (1) {
    my ($readable, $writable) = ('', '');
    vec($readable, 0, 1) = 1;
    vec($writable, 1, 1) = 1 if length $output;
    for my $c (values %connections) {
        my $number = fileno $c->{socket};
        vec($writable, $number, 1) = 1 if $c->{connecting} || length $c->{data};
        vec($readable, $number, 1) = 1
            if !$c->{connecting} && !$c->{read_all} && $c->{credit} > 0 && length $output < $MOST_HELD;
    }
    my $found = select($readable, $writable, undef, $quiet < 5 ? $quiet : 5);
    exit 1 if time - $heard > $quiet;
    next if $found <= 0;
    if (vec($writable, 1, 1)) {
        my $size = syswrite(STDOUT, $output, 2 * $CHUNK);
        exit 1 if !defined $size && !later();
        substr($output, 0, $size, '') if $size;
    }
    for my $c (values %connections) {
        my $number = fileno $c->{socket};
        if (vec($writable, $number, 1)) { $c->{connecting} ? connected($c) : write_to($c) }
        read_from($c) if vec($readable, $number, 1) && $connections{$c->{id}};
    }
    if (vec($readable, 0, 1)) {
        my $size = sysread(STDIN, $input, 2 * $CHUNK, length $input);
        exit 0 if !$size;
        $heard = time;
        take();
    }
}
