package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/amifend/amifend/ami/amitest"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"amifend": main})
}

// TestScripts runs the program as a user does. A script has $PBX, the address of a PBX that lets
// the user amifend in with the secret right, and commands of its own:
//
//	exits CODE amifend ARGS...   runs the program, and checks its exit code
//	expand FILE...               puts the environment's values into files
//	connections COUNT            checks how often the PBX was connected to
//	answers SOCKET               waits until a daemon answers at a control socket and has logged in
//	banned SOCKET COUNT          waits until as many are banned
//	follows SOCKET               waits until somebody follows the events
//	fed SOCKET FEED              waits until a feed has a list
//	attack ADDR:PORT COUNT       has an attacker guess as many accounts over TCP
//	hostile ADDR:PORT COUNT      the same, with accounts that would change a terminal
//
// No script may use a firewall: they run in the machine's own network namespace. They run the program
// without the race detector, with which it takes half a second to start: the scripts start it some
// hundred times.
func TestScripts(t *testing.T) {
	// A script skips itself where these are not installed. CI must not hide that.
	if os.Getenv("CI") == "true" {
		need(t, "nft")
		need(t, "unshare")
	}

	programs := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", programs, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the program: %v\n%s", err, out)
	}

	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", programs+string(filepath.ListSeparator)+env.Getenv("PATH"))
			pbx, err := amitest.Listen("127.0.0.1:0",
				amitest.Config{Username: "amifend", Secret: "right"})
			if err != nil {
				return fmt.Errorf("start a PBX: %w", err)
			}

			env.Defer(pbx.Close)
			env.Setenv("PBX", pbx.Addr())
			internal, err := filepath.Abs("internal")
			if err != nil {
				return fmt.Errorf("find the packages: %w", err)
			}

			env.Setenv("INTERNAL", internal)
			env.Values[pbxKey{}] = pbx
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "expand": expand, "connections": connections, "answers": answers,
			"banned": banned, "follows": follows, "attack": attack, "hostile": hostile,
			"fed": fed,
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

// expand also takes the files' rights from everybody but their owner, as a file with a secret must
// have it.
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

func answers(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: answers SOCKET")
	}
	await(ts, args[0], func(s control.Status) bool { return s.Servers[0].Connected })
}

func banned(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: banned SOCKET COUNT")
	}
	await(ts, args[0], func(s control.Status) bool {
		return strconv.Itoa(s.Firewall.Bans) == args[1]
	})
}

func fed(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: fed SOCKET FEED")
	}
	await(ts, args[0], func(s control.Status) bool {
		return slices.ContainsFunc(s.Firewall.Feeds, func(f control.FeedState) bool {
			return f.Name == args[1] && f.Prefixes > 0
		})
	})
}

func follows(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: follows SOCKET")
	}
	await(ts, args[0], func(s control.Status) bool { return s.Followers == 1 })
}

func await(ts *testscript.TestScript, socket string, ok func(control.Status) bool) {
	c := control.NewClient(ts.MkAbs(socket))
	var s control.Status
	var err error

	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if s, err = c.Status(context.Background()); err == nil && ok(s) {
			return
		}
	}

	ts.Fatalf("not within 10 s; the status is %+v, %v", s, err)
}

func attack(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: attack ADDR:PORT COUNT")
	}

	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	p := amitest.NewPeer(args[0])
	p.Transport = "TCP"

	for i := range n {
		ts.Value(pbxKey{}).(*amitest.PBX).Emit(p.GuessAccount(strconv.Itoa(100 + i))...)
	}
}

// hostile guesses names and passwords of accounts that no terminal must see as they are.
func hostile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: hostile ADDR:PORT COUNT")
	}

	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	p := amitest.NewPeer(args[0])
	p.Transport = "TCP"

	// The same names in each run. A line break would end the header of the event.
	random := rand.New(rand.NewPCG(14, 14))
	parts := []string{
		"\x1b[2J", "\x1b]0;title\a", "\x9b31m", "\u202e", "\u200b", "\ufeff", "\x00", "\b", "\x7f",
		"\xff\xfe", "\u0085", "\t", "'; rm -rf /", "<script>", "=cmd|' /C calc'!A1", "@everyone", "\v",
	}
	for range n {
		var name strings.Builder
		for range 1 + random.IntN(4) {
			name.WriteString(parts[random.IntN(len(parts))])
			name.WriteByte(byte(random.IntN(256)))
		}
		account := strings.NewReplacer("\r", "", "\n", "").Replace(name.String())
		pbx := ts.Value(pbxKey{}).(*amitest.PBX)
		pbx.Emit(p.GuessAccount(account)...)
		pbx.Emit(p.GuessPassword(account)...)
	}
}

// Each command is refused to a user who may do nothing, and says what to do. The program runs as
// another user indeed.
func TestRefusedUser(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("needs root")
		}
		t.Skip("needs root, to be another user")
	}

	//nolint:usetesting // its folder is closed to other users
	dir, err := os.MkdirTemp("/tmp", "amifend")
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { os.RemoveAll(dir) })
	program, socket := filepath.Join(dir, "amifend"), filepath.Join(dir, "s.sock")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}

	b, err := os.ReadFile(self)
	if err == nil {
		err = errors.Join(os.WriteFile(program, b, 0o755), os.Chmod(dir, 0o755))
	}
	if err != nil {
		t.Fatal(err)
	}

	s, err := control.Listen(control.Options{
		Socket: socket, ReadGroup: "no-such-group", AdminGroup: "no-such-group",
		Log: slog.New(slog.DiscardHandler), Events: new(control.Feed),
	})
	if err != nil {
		t.Fatal(err)
	}

	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	for _, args := range refusedCommands {
		t.Run(args[0], func(t *testing.T) {
			args := append(slices.Clone(args), "--socket", socket)
			out, code := nobody(t, program, args...)
			want := "no right on the socket " + socket
			if code != exitFailed || !strings.Contains(out, want+"\n  do: use sudo") {
				t.Errorf("exit code %d: %s", code, out)
			}

			// As JSON, the error is the only output, and has the form of all results. --nft is another
			// format.
			args = slices.DeleteFunc(args, func(a string) bool { return a == "--nft" })
			out, code = nobody(t, program, append(args, "--json")...)
			var got struct {
				Warnings []string
				Error    *control.Error
			}
			err := json.Unmarshal([]byte(out), &got)
			if err != nil || code != exitFailed || got.Warnings == nil || got.Error == nil ||
				got.Error.Code != control.CodeForbidden || got.Error.Message != want {
				t.Errorf("%v; exit code %d: %s", err, code, out)
			}
		})
	}
}

// nobody runs the program as a user without rights. It returns both outputs in one.
func nobody(t *testing.T, program string, args ...string) (out string, code int) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{
		Uid: 65534,
		Gid: 65534,
	}}

	cmd.Dir = "/"
	b, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(b), cmd.ProcessState.ExitCode()
}

// refusedCommands are all commands that ask the daemon.
var refusedCommands = [][]string{
	{"status"},
	{"status", "--acknowledge"},
	{"bans"},
	{"events", "--follow"},
	{"export", "--nft"},
	{"reconcile"},
	{"reload"},
	{"keep"},
	{"allow", "--list"},
	{"allow", "203.0.113.5"},
	{"allow", "--remove", "203.0.113.5"},
	{"ban", "203.0.113.5"},
	{"unban", "203.0.113.5"},
	{"unban", "--all"},
	{"deny", "add", "203.0.113.0/28"},
	{"deny", "remove", "203.0.113.0/28"},
	{"deny", "list"},
	{"undo"},
	{"undo", "--dry-run"},
	{"explain", "203.0.113.5"},
	{"report"},
	{"top", "sources"},
	{"alerts"},
	{"alerts", "ignore", "00000000", "why"},
	{"notify"},
	{"notify", "--test"},
	{"feed", "list"},
	{"limited"},
	{"feed", "accept", "voipbl"},
}
