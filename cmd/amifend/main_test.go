package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/amifend/amifend/ami/amitest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"amifend": main})
}

// TestScripts runs the program as a user does. A script has $PBX, the address of a PBX that lets the user amifend in
// with the secret right, and three commands of its own:
//
//	exits CODE amifend ARGS...   runs the program, and checks its exit code
//	expand FILE...               puts the environment's values into files
//	connections COUNT            checks how often the PBX was connected to
//
// No script may use a firewall: they run in the machine's own network namespace.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			pbx, err := amitest.Listen("127.0.0.1:0", amitest.Config{Username: "amifend", Secret: "right"})
			if err != nil {
				return fmt.Errorf("start a PBX: %w", err)
			}
			env.Defer(pbx.Close)
			env.Setenv("PBX", pbx.Addr())
			env.Values[pbxKey{}] = pbx
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "expand": expand, "connections": connections,
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// pbxKey is where a script keeps its PBX.
type pbxKey struct{}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("run %s: %v", args[1], err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// expand also takes the files' rights from everybody but their owner, as a file with a secret must have it.
func expand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: expand FILE...")
	}
	for _, file := range args {
		path := ts.MkAbs(file)
		ts.Check(os.WriteFile(path, []byte(os.Expand(ts.ReadFile(file), ts.Getenv)), 0o600))
		ts.Check(os.Chmod(path, 0o600))
	}
}

func connections(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: connections COUNT")
	}
	got := len(ts.Value(pbxKey{}).(*amitest.PBX).Accepted())
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("the PBX was connected to %d times, want %s", got, args[0])
	}
}
