package cli

import (
	"maps"

	"github.com/alecthomas/kong"
)

// Vars returns the help texts that are too long for a struct tag, by the names that the tags use.
// Defaults are written out: kong replaces names in these texts only once.
func Vars() kong.Vars {
	vars := kong.Vars{
		"colorHelp": "Colours: auto (on a terminal, unless NO_COLOR is set), always or never.",

		"configHelp":       "The config file (/etc/amifend/config.toml).",
		"alertsLimitHelp":  "Print at most COUNT alerts, the worst and the last ones (100).",
		"alertsIgnoreHelp": "Silence an alert that lasts, for good, with a note.",
		"reportLimitHelp":  "Print at most COUNT of each kind (10).",
		"exportTableHelp":  "The table of family inet on the other machine (amifend).",
		"importPathHelp":   "fail2ban's database (/var/lib/fail2ban/fail2ban.sqlite3).",
		"manDirHelp":       "The folder for all pages. Without it the first page is printed.",
		"initAddressHelp":  "The Manager Interface (AMI) of an Asterisk on another machine.",
		"initReloadHelp":   "Make Asterisk read its manager users again, without asking.",
		"initDirHelp":      "The folder of Asterisk's config (/etc/asterisk).",

		"daemonConfigHelp": "The daemon's config file, which names its socket. " +
			"Default: /etc/amifend/config.toml.",
	}
	for _, of := range []kong.Vars{lookVars(), actVars(), setupVars(), pastVars()} {
		maps.Copy(vars, of)
	}
	return vars
}

// lookVars returns the texts of the commands that show what happens.
func lookVars() kong.Vars {
	return kong.Vars{
		"alertsAddressHelp": "Only alerts about this address, or about a prefix that contains it.",
		"alertsSinceHelp":   "How far back to look, such as 90m, 24h or 7d (24h).",

		"bansWithinHelp": "Only bans of this address, or within this prefix.",
		"bansRuleHelp":   "Only bans by this rule, such as proven_score or operator.",
		"bansScopeHelp":  "Only bans of this scope: all, sip or stream.",
		"bansSortHelp": "The order: newest, until (the next to end first), dropped, score or " +
			"source.",
		"bansWideHelp": "Print more columns: the beginning, the score, the strikes and the state.",

		"explainHelp": "The address, banned or not, or a network.",

		"eventsWithinHelp": "Only events of this address, or within this prefix.",
		"eventsKindHelp":   "Only these events of Asterisk, such as InvalidPassword.",

		"statusAcknowledgeHelp": "Stop reporting the loss of the journal. This needs the right to " +
			"change.",
		"statusQuietHelp": "Print one line, with the exit code of a Nagios plugin.",
	}
}

// actVars returns the texts of the commands that change whom amifend drops.
func actVars() kong.Vars {
	return kong.Vars{
		"allowWhomHelp": "The addresses, prefixes or host names to allow.",
		"allowForHelp":  "Allow for TIME only, such as 2h or 30d.",

		"banPrefixHelp": "The addresses, or prefixes of a length that can be banned: IPv4 /24, " +
			"IPv6 /64, /56 or /48.",
		"banForHelp": "How long, such as 2h or 30d. Default: [policy] ban_time.",
		"banScopeHelp": "What to drop: all packets; sip, those to the SIP ports; stream, TCP " +
			"to the SIP, WebSocket and AMI ports (all).",

		"denyPrefixHelp": "The addresses, or prefixes of any length. What must never be banned is " +
			"spared.",
		"denyRemoveHelp": "The prefixes as amifend deny list shows them.",

		"unbanPrefixHelp": "The addresses or prefixes. All bans within them, and all bans that " +
			"cover them, are lifted.",
	}
}

// setupVars returns the texts of the commands that set the daemon up, check it and take care of it.
func setupVars() kong.Vars {
	return kong.Vars{
		"auditPBXHelp": "The folder of the PBX's config files, such as /etc/asterisk, " +
			"to judge passwords and settings too.",
		"auditAccountHelp": "A SIP account that exists, to see whether the PBX answers " +
			"differently for others. Default: the first one of --pbx-config.",
		"auditChangelogHelp": "The changelog of the PBX's package, as apt changelog asterisk or " +
			"rpm -q --changelog asterisk print it. Default: that of the Debian package, on the PBX itself.",
		"auditVersionHelp": "The PBX's version, as asterisk -V prints it. Default: what the PBX shows.",

		"checkPBXHelp": "Read the trunks and what hides attacks from Asterisk's config files " +
			"in DIR, or the trunks from the output of its command line on stdin (-), and print " +
			"the [allow] table to paste.",

		"runTrialHelp": "A trial: the bans of this run end after TIME, such as 10m, unless you run " +
			"amifend keep.",

		"enforceTrialHelp": "How long the trial takes, such as 10m (10m).",
		"enforcePutBackHelp": "Write observe = true again after a trial that nobody has kept. The " +
			"timer does this.",

		"flushKernelHelp": "Does nothing: the kernel is always meant.",
		"flushConfigHelp": "The config file, which names the table. Default: " +
			"/etc/amifend/config.toml, or the table amifend if there is none.",
	}
}

// pastVars returns the texts of the commands that read what others recorded.
func pastVars() kong.Vars {
	return kong.Vars{
		"reportHelp": "Show what happened: bans, alerts, and who failed how often. " +
			"Also reads log files.",
		"replayHelp": "Judge captures and log files, and show whom the daemon would have banned.",

		"importJailHelp": "Only the bans of these jails. Default: the jails with asterisk, pbx or " +
			"sip in their names.",
		"importScopeHelp": "What to drop: all packets; sip, those to the SIP ports; stream, " +
			"TCP to the SIP, WebSocket and AMI ports (sip).",

		"replaySummaryHelp": "Print only the summary, without the decisions.",
		"replayExplainHelp": "Show only this address: each of its events, and the decision.",
		"replayFilesHelp": "Captures of AMI, or log files of Asterisk, also packed; folders, " +
			"and - for standard input. Each is a server of its own.",
		"pastConfigHelp": "The config whose policy and allowlist apply; secrets are not needed. " +
			"Default: /etc/amifend/config.toml, or the built-in defaults if there is none.",
		"pastTimezoneHelp": "Time zone of log files and of the output, such as UTC or " +
			"Europe/Berlin. Default: this machine's.",
		"reportFilesHelp": "Captures of AMI, or log files of Asterisk, to count instead; " +
			"folders, - for standard input, also packed. Each is a server of its own.",

		"topWhatHelp": "What to count by: sources, accounts or servers (sources).",
		"topSinceHelp": "How far back to look, such as 1h, 24h or 7d (1h). Totals are those of whole " +
			"hours.",
	}
}
