// Command quality judges amifend's engine on labelled traffic, beside its peers: `make quality`.
//
// Every number comes from a run. Generated phones, offices, attackers and forgers (package traffic)
// talk to PBXs, and each tool gets the events of the PBXs. A packet from a source that the tool has
// banned does not reach a PBX. The command fails if amifend misses a goal. The test of this package
// asserts the goals on a shorter run.
package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/quality/traffic"
)

func main() {
	if err := show(); err != nil {
		fmt.Fprintln(os.Stderr, "quality:", err)
		os.Exit(1)
	}
}

// show plays the traffic that the flags ask for, and prints the results.
func show() error {
	seed := flag.Uint64("seed", 1, "of the generator")
	only := flag.String("only", "", "play only the classes that this regular expression matches")
	short := flag.Bool("short", false, "play the test's traffic instead of a week")
	decisions := flag.Bool("decisions", false, "print each decision of amifend, no peers")
	flag.Parse()

	match, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("read -only: %w", err)
	}

	o := traffic.Options{Size: traffic.Week, Seed: *seed, Only: match.MatchString}
	if *short {
		o.Size = traffic.Short
	}

	tools := contenders()
	var trace tracer
	if *decisions {
		tools, trace = tools[:1], printDecision
	}

	// Each tool gets a run of its own, since its bans change what happens.
	var results []result
	for _, c := range tools {
		r, err := run(c, o, trace)
		if err != nil {
			return err
		}
		results = append(results, r)
	}
	if len(results[0].world.Classes) == 0 {
		return fmt.Errorf("no class matches %q", *only)
	}

	if err := write(os.Stdout, results); err != nil {
		return err
	}

	if n := writeMissed(os.Stdout, results[0]); n > 0 {
		return fmt.Errorf("%d goals were missed", n)
	}
	return nil
}

// printDecision prints one decision, with the classes of the parties that it is about.
func printDecision(w *traffic.World, d traffic.Decision) {
	at := time.Unix(0, d.At).UTC().Format("02T15:04:05.000")
	if d.Again {
		return
	}
	if d.Alert != "" {
		fmt.Printf("%s alert %s about %v, account %s at server %d [%s]\n", at, d.Alert, d.Prefix,
			ami.Quote([]byte(d.Account)), d.Server, w.Who(d))
		return
	}

	ports := "some ports"
	if d.Everything {
		ports = "everything"
	}
	fmt.Printf("%s ban %s of %v from %s for %v [%s]\n",
		at, d.Rule, d.Prefix, ports, d.Lasts, w.Who(d))
}
