package firewall

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"golang.org/x/sys/unix"
)

// Names of the sensor in the kernel; they are an API, too.
const (
	chainAnswers    = "answers" // base chain: output
	chainPassing    = "passing" // base chain: forward
	chainAnswersUDP = "answers_udp"
	chainAnswersTCP = "answers_tcp"
	chainAnswersWS  = "answers_ws"
	chainRefused    = "refused"
	chainAccepted   = "accepted"
	chainWatched    = "watched"
	chainChallenges = "challenges" // base chain: output
	chainChallenged = "challenged"

	setRefused4 = "refused4"
	setRefused6 = "refused6"
	setAgain4   = "again4"
	setAgain6   = "again6"
	setWatched4 = "watched4"
	setWatched6 = "watched6"
)

const (
	// answerPriority is that of an ordinary filter: source and destination are those of the PBX and
	// of its peer, before any NAT of the source.
	answerPriority = 0

	// refusedTime is how long a destination is remembered after its last refusal.
	refusedTime = time.Minute

	// againTime is how long a refusal over TCP is remembered after it was sent last: longer than
	// Linux waits before it sends a segment again.
	againTime = 5 * time.Minute

	// watchedTime is how long all refusals and successes to a destination are logged.
	watchedTime = 10 * time.Minute

	// sensorSize limits the elements of each set of the sensor: 11 MB of the kernel's memory.
	sensorSize = 65536

	// loggedRate limits the logged answers of a second: those to any destination, and once more
	// those to destinations that are watched.
	loggedRate = 50

	// loggedBytes limits what is logged of an answer. Its first headers are in it.
	loggedBytes = 4096

	// longestChallenge limits the refusals over UDP, with the UDP header. No phone needs longer ones.
	// A sender can have them made longer, to keep their nonces from being read.
	longestChallenge = 4096

	// challengeBytes is what is logged of them: all, with the longest headers of IP.
	challengeBytes = longestChallenge + 104
)

// DefaultGroup is the NFLOG group of logged answers.
const DefaultGroup = 5061

// ChallengeGroup returns the NFLOG group of the refusals that [Table.OpenChallenges] reads: the one
// after that of logged answers.
func ChallengeGroup(answers uint16) uint16 {
	if answers == math.MaxUint16 {
		return answers - 1
	}
	return answers + 1
}

// Sensor adds rules that watch what SIP servers answer: on this machine (hook output) and behind it
// (hook forward). They drop nothing but what no phone needs: refusals over UDP of more than 4,096 bytes.
//
//	answers, passing           the base chains: answers from the SIP and WebSocket ports go on
//	answers_udp, _tcp, _ws     answers 401 and 407 go to refused, 200 to accepted
//	refused4, refused6         refusals (packets) by server, destination and protocol, a minute long
//	again4, again6             refusals over TCP that were counted, so that none counts twice
//	watched4, watched6         destinations of which all refusals and successes are logged
//	challenges, challenged     every refusal over UDP that leaves this machine, from whatever port
//
// Refusals to others are sampled. What is logged goes to an NFLOG group: see [OpenAnswers]. The last two
// chains log to the group after it, without a limit: see [Table.OpenChallenges].
type Sensor struct {
	Group uint16 // of NFLOG; 0: DefaultGroup
}

// SensorSupport is how much of the sensor the kernel can do, as probed when the table was opened.
type SensorSupport struct {
	Counts  bool  // refusals over UDP are counted
	Streams bool  // those over TCP and WebSocket, too (Linux 5.16, in 5.15 since July 2022)
	Logs    bool  // answers can be logged (nfnetlink_log)
	Err     error // of the first that the kernel cannot do, for people; nil: it can do all
}

// Sensor returns how much of the sensor the kernel can do. It is zero if Options.Sensor was nil.
func (t *Table) Sensor() SensorSupport { return t.support }

// able returns what is laid out of the sensor.
func (t *Table) able() SensorSupport {
	if t.ended.Load() {
		return SensorSupport{}
	}
	return t.support
}

// sensorSets returns the sets of the sensor, none if there is no sensor.
func (t *Table) sensorSets() []*nftables.Set {
	if !t.able().Counts {
		return nil
	}
	return t.sensorRules().sets()
}

// againSet has a key of the destination's address and the sequence number of a segment, which has the
// size of a mark. It holds what was counted, so that a segment that is sent again is not.
func againSet(table *nftables.Table, is6 bool) *nftables.Set {
	name, addr := setAgain4, nftables.TypeIPAddr
	if is6 {
		name, addr = setAgain6, nftables.TypeIP6Addr
	}
	return &nftables.Set{
		Table: table, Name: name, Concatenation: true,
		KeyType:      nftables.MustConcatSetType(addr, nftables.TypeMark),
		KeyByteOrder: binaryutil.BigEndian, Dynamic: true, HasTimeout: true, Timeout: againTime,
		Size: sensorSize, Comment: "amifend: refusals over TCP, each segment once",
	}
}

// refusedSet has a key of the server's address, the destination's, and the protocol.
func refusedSet(table *nftables.Table, is6 bool) *nftables.Set {
	name, addr := setRefused4, nftables.TypeIPAddr
	if is6 {
		name, addr = setRefused6, nftables.TypeIP6Addr
	}
	return &nftables.Set{
		Table: table, Name: name, Concatenation: true,
		KeyType:      nftables.MustConcatSetType(addr, addr, nftables.TypeInetProto),
		KeyByteOrder: binaryutil.BigEndian, Dynamic: true, HasTimeout: true, Timeout: refusedTime,
		Counter: true, Size: sensorSize, Comment: "amifend: refused by, and how often",
	}
}

func watchedSet(table *nftables.Table, is6 bool) *nftables.Set {
	name := setWatched4
	if is6 {
		name = setWatched6
	}
	return &nftables.Set{
		Table: table, Name: name, KeyType: addrType(is6), KeyByteOrder: binaryutil.BigEndian,
		HasTimeout: true, Timeout: watchedTime, Size: sensorSize,
		Comment: "amifend: answers to them are logged",
	}
}

// probeSensor finds out how much of the sensor the kernel can do, by laying out its rules in a
// scratch table.
func (t *Table) probeSensor() error {
	probe := sensorRules{table: scratchTable(), group: t.group, ports: t.ports}

	// Each step needs the one before.
	for _, step := range []struct {
		able *bool
		what string
		with func(*sensorRules)
	}{
		{&t.support.Counts, "count what the PBX refuses", func(*sensorRules) {}},
		{
			&t.support.Streams, "read answers over TCP (Linux 5.16)",
			func(r *sensorRules) { r.streams = true },
		},
		{
			&t.support.Logs, "log answers (module nfnetlink_log)",
			func(r *sensorRules) { r.logs = true },
		},
	} {
		try := probe
		step.with(&try)
		err := tryLayout(t.write, try.table, try.sets(), nil, try.chains())
		if errors.Is(err, unix.EPERM) {
			return kernelError("probe the kernel", err)
		}

		*step.able = err == nil
		if err != nil && t.support.Err == nil {
			t.support.Err = fmt.Errorf("this kernel cannot %s: %w", step.what, err)
		}
		if !t.support.Counts {
			return nil
		}
	}
	return nil
}

// queueNoSensor queues that what is there of a sensor goes: all of it if this table has none, else the
// chains that this one does not have. A table without our sets has none of our chains.
func (t *Table) queueNoSensor(s snapshot) {
	if s.sets[setRefused4] == nil {
		return
	}
	r := t.sensorRules()
	keep := map[string]bool{}
	gone := r.sets()
	if t.able().Counts {
		for _, ch := range r.chains() {
			keep[ch.name] = true
		}
		gone = nil
	}

	r.streams, r.logs = true, true // the chains that any sensor has
	t.queueRemoval(s, r.chains(), keep, gone)
}

// queueRemoval queues that chains go, except those to keep, which lose their rules, and that sets go,
// each if it is there. A chain comes before those that it jumps to.
func (t *Table) queueRemoval(
	s snapshot, chains []chainRules, keep map[string]bool, sets []*nftables.Set,
) {
	// The rules go first: they refer to chains and sets.
	for _, ch := range chains {
		if c := s.chains[ch.name]; c != nil {
			t.write.FlushChain(c)
		}
	}
	for _, ch := range chains {
		if c := s.chains[ch.name]; c != nil && !keep[ch.name] {
			t.write.DelChain(c)
		}
	}

	for _, set := range sets {
		if there := s.sets[set.Name]; there != nil {
			t.write.DelSet(there)
		}
	}
}

// EndSensor removes the chains and sets of the sensor. Bans stay. The next Ensure does not lay them
// out again.
//
// Errors to branch on: those of Ensure.
func (t *Table) EndSensor(ctx context.Context) error {
	if t.watch == nil || t.ended.Swap(true) {
		return nil
	}
	if err := t.lockWrite(ctx); err != nil {
		return fmt.Errorf("end the sensor: %w", err)
	}
	defer t.writeMu.Unlock()

	s, err := t.inspect(t.write)
	if err == nil {
		err = t.checkForeign(s)
	}
	if err != nil || s.table == nil {
		return kernelError("end the sensor", err)
	}
	t.queueNoSensor(s)
	err = t.write.Flush()
	t.layouts.Add(1)
	return kernelError("end the sensor", err)
}
