//go:build chaos

package chaos

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// envMounts marks the test binary that has mounts of its own.
const envMounts = "CHAOS_MOUNTS"

// long reports whether the whole rounds are run. Otherwise a few of each are.
func long() bool { return os.Getenv("CHAOS") == "long" }

// times returns how often a round does what it does.
func times(short, whole int) int {
	if long() {
		return whole
	}
	return short
}

// program is the path of the program under test.
var program string

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	if os.Geteuid() != 0 {
		return 1, fmt.Errorf("this needs root: sudo make chaos")
	}

	// The rounds mount disks, which nobody else sees.
	if os.Getenv(envMounts) == "" {
		cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
		cmd.Env = append(os.Environ(), envMounts+"=own")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags: unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL,
		}
		if err := cmd.Run(); err != nil {
			return max(cmd.ProcessState.ExitCode(), 1), nil
		}
		return 0, nil
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return 1, fmt.Errorf("make the mounts private: %w", err)
	}

	dir, err := os.MkdirTemp("", "amifend-chaos-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "amifend")
	build := exec.Command("go", "build", "-trimpath", "-o", program, "github.com/amifend/amifend/cmd/amifend")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build amifend: %w\n%s", err, out)
	}

	code := m.Run()
	fmt.Print(table(time.Now()))
	return code, nil
}

// result is a row of the table.
type result struct {
	t     testing.TB
	what  string // that is done to amifend
	holds string // what must hold
	n     int
	times []time.Duration // that are measured, of what the row says
	of    string          // what is measured
	note  string          // another figure
}

// results are the rows, in the order of the rounds.
var results struct {
	sync.Mutex
	rows []*result
}

// begin notes a round: what is done, and what must hold.
func begin(t testing.TB, what, holds string) *result {
	r := &result{t: t, what: what, holds: holds}
	results.Lock()
	defer results.Unlock()
	results.rows = append(results.rows, r)
	return r
}

// took notes a time.
func (r *result) took(of string, d time.Duration) {
	r.of = of
	r.times = append(r.times, d)
}

// table returns the results in the form of Markdown.
func table(now time.Time) string {
	results.Lock()
	defer results.Unlock()

	var b strings.Builder
	fmt.Fprintf(&b, "\n%s, %s, %d CPUs, N %s\n\n", now.UTC().Format("2006-01-02 15:04Z"), machineName(),
		runtime.NumCPU(), map[bool]string{true: "whole", false: "short"}[long()])
	b.WriteString("| what is done | N | what must hold | held | measured | half | p99 | worst | also |\n" +
		"|---|--:|---|---|---|--:|--:|--:|---|\n")
	for _, r := range results.rows {
		held := "yes"
		switch {
		case r.t.Failed():
			held = "**NO**"
		case r.t.Skipped():
			held = "not run"
		}
		slices.Sort(r.times)
		fmt.Fprintf(&b, "| %s | %d | %s | %s | %s | %s | %s | %s | %s |\n", r.what, r.n, r.holds, held,
			cmp.Or(r.of, "–"), r.quantile(0.5), r.quantile(0.99), r.quantile(1), cmp.Or(r.note, "–"))
	}
	return b.String()
}

// quantile returns the time below which a share of the sorted times is.
func (r *result) quantile(share float64) string {
	if len(r.times) == 0 {
		return "–"
	}
	i := int(share*float64(len(r.times))+0.999999) - 1
	d := r.times[min(max(i, 0), len(r.times)-1)]
	if d > time.Second {
		return d.Round(10 * time.Millisecond).String()
	}
	return d.Round(100 * time.Microsecond).String()
}

func machineName() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return "an unknown machine"
	}
	cpu := "an unknown CPU"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if k, v, ok := strings.Cut(line, ":"); ok && strings.HasPrefix(k, "model name") {
				cpu = strings.TrimSpace(v)
			}
		}
	}
	return "Linux " + unix.ByteSliceToString(name.Release[:]) + ", " + cpu
}

// line is a line of the daemon's log.
type line map[string]any

func (l line) text(key string) string { return fmt.Sprint(l[key]) }

// process is the program as a process.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // of its end

	mu    sync.Mutex
	lines []line
	raw   strings.Builder // its last lines that are no JSON: a panic
}

// read reads the log until it ends.
func (p *process) read(out *bufio.Scanner) {
	out.Buffer(nil, 1<<20)
	for out.Scan() {
		var l line
		err := json.Unmarshal(out.Bytes(), &l)
		p.mu.Lock()
		if err == nil {
			p.lines = append(p.lines, l)
		} else if p.raw.Len() < 1<<16 {
			p.raw.WriteString(out.Text() + "\n")
		}
		p.mu.Unlock()
	}
	p.err = p.cmd.Wait()
	close(p.done)
}

// said returns the lines with a message.
func (p *process) said(msg string) (out []line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.lines {
		if l["msg"] == msg {
			out = append(out, l)
		}
	}
	return out
}

// log returns the end of the log.
func (p *process) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var b strings.Builder
	for _, l := range p.lines[max(0, len(p.lines)-60):] {
		text, _ := json.Marshal(l)
		b.Write(text)
		b.WriteByte('\n')
	}
	return b.String() + p.raw.String()
}

// kill is kill -9, and waits for the end. What it had announced until then is read.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}

// stop ends it in order.
func (p *process) stop(t testing.TB) {
	t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		if p.err != nil {
			t.Errorf("it ended with %v:\n%s", p.err, p.log())
		}
	case <-time.After(45 * time.Second): // TimeoutStopSec of the unit
		t.Errorf("it does not end:\n%s", p.log())
		p.kill()
	}
}

// ended reports whether it has ended.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// memory returns how much memory it has used at most, in MB.
func (p *process) memory() int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	for l := range strings.Lines(string(text)) {
		var kb int
		if _, err := fmt.Sscanf(l, "VmHWM: %d kB", &kb); err == nil {
			return kb >> 10
		}
	}
	return 0
}

// within waits until ok holds, and returns how long that took.
func within(t testing.TB, d time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !ok() {
		if time.Since(began) > d {
			t.Fatalf("not within %s: %s", d, what)
		}
		time.Sleep(3 * time.Millisecond)
	}
	return time.Since(began)
}

// soon is how long the rounds wait for what takes milliseconds on a machine that is not busy.
const soon = 30 * time.Second

// plural returns a number with its noun.
func plural(n int, noun string) string {
	if n == 1 {
		return fmt.Sprint(n, " ", noun)
	}
	return fmt.Sprint(n, " ", noun, "s")
}

// most is how much memory, in MB, the daemon may ever use.
const most = 350
