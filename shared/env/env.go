// Package env reads environment variables into a program's configuration.
//
// A program declares its variables, each with the place for its value. Read reports all problems at
// once. An unknown variable with Spillway's prefix is none: it may be one of a newer version, whose
// environment an older one must run in after a roll-back. It may be a typing error too, so the
// program says at its start what it ignores and what it knows.
package env

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/shared/version"
)

// prefix begins the names of Spillway's variables.
const prefix = "SPILLWAY_"

// A Variable is one environment variable.
type Variable struct {
	Name string
	// Set parses and stores the value. Its error follows the variable's name, like "must be true or
	// false, is …": see [MustBe].
	Set      func(value string) error
	Required bool // a variable that is absent is set to ""
}

// Ignored is what Read has left out of the variables with Spillway's prefix.
type Ignored struct {
	Trimmed []string // the names of those with white space around the value
	Unknown []string // the names of those that the program does not know
	known   []string
}

// Read reads the variables of environ, which has the form of os.Environ. White space around a value
// of ours, such as the line end of a file that a shell has read, is removed.
func Read(environ []string, variables ...Variable) (Ignored, error) {
	var ignored Ignored
	var errs []error
	seen := map[string]bool{}
	byName := make(map[string]Variable, len(variables))
	for _, v := range variables {
		byName[v.Name] = v
		if strings.HasPrefix(v.Name, prefix) {
			ignored.known = append(ignored.known, v.Name)
		}
	}
	set := func(v Variable, value string) {
		seen[v.Name] = true
		if err := v.Set(value); err != nil {
			errs = append(errs, fmt.Errorf("%s %w", v.Name, err))
		}
	}
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		v, known := byName[name]
		ours := strings.HasPrefix(name, prefix)
		if text := strings.TrimSpace(value); text != value && ours && known {
			value, ignored.Trimmed = text, append(ignored.Trimmed, name)
		}
		if known {
			set(v, value)
		} else if ours && name != version.Variable { // that one is for every program
			ignored.Unknown = append(ignored.Unknown, name)
		}
	}
	for _, v := range variables {
		if v.Required && !seen[v.Name] {
			set(v, "")
		}
	}
	return ignored, errors.Join(errs...)
}

// Log warns of what was ignored. It shows no values.
func (i Ignored) Log(logger *slog.Logger) {
	for _, name := range i.Trimmed {
		logger.Warn("the value of a variable has white space around it, which is ignored", "variable", name)
	}
	if len(i.Unknown) > 0 {
		logger.Warn("variables that this version does not know are ignored", "count", len(i.Unknown),
			"variables", strings.Join(i.Unknown, ", "), "known", strings.Join(i.known, ", "))
	}
}

// Lookup returns the value of one variable; ok is false when it is absent.
func Lookup(environ []string, name string) (value string, ok bool) {
	for _, variable := range environ {
		if value, ok = strings.CutPrefix(variable, name+"="); ok {
			return value, true
		}
	}
	return "", false
}

// MustBe returns the error for a wrong value: "must be WHAT, is VALUE".
func MustBe(what, value string) error { return fmt.Errorf("must be %s, is %q", what, value) }

// String takes any text.
func String(name string, into *string) Variable {
	return Variable{Name: name, Set: func(value string) error { *into = value; return nil }}
}

// Secret takes text that valid accepts, or none. Its error says must, and does not show the text.
func Secret(name string, into *string, valid func(string) bool, must string) Variable {
	return Variable{Name: name, Set: func(value string) error {
		if value != "" && !valid(value) {
			return errors.New("must be " + must)
		}
		*into = value
		return nil
	}}
}

// Bool takes true and false.
func Bool(name string, into *bool) Variable {
	return Variable{Name: name, Set: func(value string) (err error) {
		if *into, err = strconv.ParseBool(value); err != nil {
			return MustBe("true or false", value)
		}
		return nil
	}}
}

// Int takes a number in a range.
func Int(name string, into *int, least, most int) Variable {
	return Variable{Name: name, Set: func(value string) error {
		n, err := strconv.Atoi(value)
		if err != nil || n < least || n > most {
			return MustBe(fmt.Sprintf("a number from %d to %d", least, most), value)
		}
		*into = n
		return nil
	}}
}

// Duration takes a positive duration.
func Duration(name string, into *time.Duration) Variable {
	return Variable{Name: name, Set: func(value string) error {
		d, err := time.ParseDuration(value)
		if err != nil || d <= 0 {
			return MustBe("a duration above 0 like 25s", value)
		}
		*into = d
		return nil
	}}
}

// LogLevel takes the names that package slog has for levels.
func LogLevel(name string, into *slog.Level) Variable {
	return Variable{Name: name, Set: func(value string) error {
		if err := into.UnmarshalText([]byte(value)); err != nil {
			return MustBe("debug, info, warn or error", value)
		}
		return nil
	}}
}

const likeAQueue = "like https://sqs.us-east-1.amazonaws.com/123456789012/spillway-events"

func isURL(value string) bool {
	u, err := url.Parse(value)
	return err == nil && u.Host != ""
}

// QueueURL takes the URL of an SQS queue, and requires one.
func QueueURL(name string, into *string) Variable {
	return Variable{Name: name, Required: true, Set: func(value string) error {
		if !isURL(value) {
			return MustBe("a queue's URL "+likeAQueue, value)
		}
		*into = value
		return nil
	}}
}

// OptionalQueueURL takes the URL of an SQS queue, or none.
func OptionalQueueURL(name string, into *string) Variable {
	required := QueueURL(name, into)
	return Variable{Name: name, Set: func(value string) error {
		if value == "" {
			*into = ""
			return nil
		}
		return required.Set(value)
	}}
}

// QueueURLs takes the URLs of SQS queues, with commas between them, or none.
func QueueURLs(name string, into *[]string) Variable {
	return Variable{Name: name, Set: func(value string) error {
		*into = nil
		for part := range strings.SplitSeq(value, ",") {
			if part = strings.TrimSpace(part); part == "" {
				continue
			}
			if !isURL(part) {
				return MustBe("the URLs of queues, with commas between them, each "+likeAQueue, value)
			}
			*into = append(*into, part)
		}
		return nil
	}}
}

// Bytes takes a number of bytes from least, with a unit or without: 1073741824, 512MiB, 1GiB.
func Bytes(name string, into *int64, least int64) Variable {
	return Variable{Name: name, Set: func(value string) error {
		number, shift := value, 0
		for unit, s := range map[string]int{"KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40} {
			if n, ok := strings.CutSuffix(value, unit); ok {
				number, shift = n, s
			}
		}
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || n < 0 || n > math.MaxInt64>>shift || n<<shift < least {
			return MustBe(fmt.Sprintf("a number of bytes from %d on, like 512MiB or 1GiB", least), value)
		}
		*into = n << shift
		return nil
	}}
}

// Exclusive returns an error if two variables that exclude each other both have a value.
func Exclusive(name, value, otherName, otherValue string) error {
	if value != "" && otherValue != "" {
		return fmt.Errorf("%s and %s are both set: set one of them", name, otherName)
	}
	return nil
}
