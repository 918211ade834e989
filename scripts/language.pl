# Prints each sentence that breaks a rule of scripts/language.sh as "FILE:LINE: RULE: SENTENCE". Exits with status 1 if there is one.
use strict;
use warnings;
use utf8;
use open qw(:std :encoding(UTF-8));
use File::Basename qw(dirname);

my $WORDS   = 35;
my $OPENING = qr/^(?:Who|Whom|Whose|What|Of|Where|Nobody|Somebody)\b/;
my @BANNED  = (
    qr/\bof (?:its|their|his|her) own\b(?! (?:connection|account|tenant))/i, qr/\bin the way of\b/i,
    qr/\bwhoever\b/i,                           qr/\bthat which\b/i,
    qr/\bwhose word\b/i,                        qr/\bis there for\b/i,
    qr/\bwhat nobody\b/i,                       qr/\bwhat is left\b/i,
    qr/\bgo(?:es)? over to\b/i,                 qr/\bso many of\b/i,
    qr/\bcounts? (?:until|as one|for an hour)\b/i, qr/\b(?:is|are) told (?:so|by|to end)\b/i,
    qr/\bstands? (?:beside|in the way|above|below|in its place)\b/i,
);
my $failures = 0;

sub report {
    my ($file, $line, $rule, $text) = @_;
    $text = substr($text, 0, 117) . '...' if length $text > 120;
    print "$file:$line: $rule: $text\n";
    $failures++;
}

# Checks the sentences of one paragraph, which starts at the line.
sub paragraph {
    my ($file, $line, $text) = @_;
    $text =~ s/`[^`]*`/CODE/g;
    $text =~ s/!?\[([^\]]*)\]\([^)]*\)/$1/g;
    $text =~ s/\b(?:e\.g|i\.e|etc|vs|cf|St)\.//g;
    for my $sentence (split /(?<=[.!?])["')*]*\s+(?=["'(*]*(?:[[:upper:]]|rolegate\b))/, $text) {
        $sentence =~ s/^[\s>*"'(-]+|\s+$//g;
        next if $sentence eq '';
        my $words = () = $sentence =~ /[[:alnum:]][[:alnum:]'’-]*/g;
        report($file, $line, 'opening',             $sentence) if $sentence =~ $OPENING && $words > 1 && $sentence !~ /\?$/;
        report($file, $line, "$words words",        $sentence) if $words > $WORDS;
        for my $banned (@BANNED) {
            report($file, $line, "phrase \"$&\"", $sentence) if $sentence =~ $banned;
        }
    }
}

# The files that links of a page name exist.
sub links {
    my ($file, $line, $text) = @_;
    $text =~ s/`[^`]*`//g;
    while ($text =~ /\]\(([^)\s#]+)[^)]*\)/g) {
        my $target = $1;
        next if $target =~ /^[a-z]+:/;
        report($file, $line, 'link', $target) unless -e dirname($file) . "/$target";
    }
}

for my $file (@ARGV) {
    open my $in, '<', $file or die "$file: $!\n";
    my $is_page = $file =~ /\.md$/;
    my $mark    = $file =~ /\.rs$/ ? qr{^\s*//[/!]?(?!/) ?(.*)} : qr{^\s*#(?!!) ?(.*)};
    my ($code, $start, $text) = (0, 0, '');
    my $end = sub { paragraph($file, $start, $text) if $text ne ''; $text = ''; };
    while (my $raw = <$in>) {
        chomp $raw;
        my $line = $raw;
        if (!$is_page) {
            if ($line !~ $mark) { $end->(); $code = 0; next; }
            $line = $1;
        }
        if ($line =~ /^\s*```/) { $end->(); $code = !$code; next; }
        next if $code;
        links($file, $., $line) if $is_page;
        if ($line =~ /^\s*\|/) {
            $end->();
            paragraph($file, $., $_) for grep { !/^[\s:-]*$/ } split /(?<!\\)\|/, $line;
            next;
        }
        if ($line =~ /^\s*$/ || $line =~ /^\s*(?:[-*]|\d+\.)\s/ || $line =~ /^#+ /) { $end->(); }
        next if $line =~ /^\s*$/;
        $start = $. if $text eq '';
        $line =~ s/^\s*(?:[-*]|\d+\.|#+)\s+//;
        $text .= ($text eq '' ? '' : ' ') . $line;
        $end->() if $raw =~ /^#+ / && $is_page;
    }
    $end->();
    close $in;
}
if ($failures) { print "$failures sentences or links to change; docs/style.md explains the rules\n"; exit 1; }
