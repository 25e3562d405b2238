package sqs

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of SQS (developer guide, "Amazon SQS message quotas" and "Standard queue quotas").
const (
	maxMessageBytes  = 1 << 20 // a message with its attributes, and all messages of a batch together
	minMessageLimit  = 1 << 10 // the smallest MaximumMessageSize
	maxAttributes    = 10
	maxAttributeName = 256
	maxBatchEntries  = 10
	maxInFlight      = 120_000 // a queue
	maxDelay         = 900     // seconds
	maxVisibility    = 43_200  // seconds
	maxWait          = 20      // seconds
	maxGroupID       = 128
	maxQueueName     = 80
	maxReceiveCount  = 1_000
)

// forbiddenRune returns the first character of s that SQS refuses: it takes those of XML 1.0.
func forbiddenRune(s string) (r rune, found bool) {
	for i := 0; i < len(s); {
		for len(s)-i >= 8 && printable(s[i:i+8]) {
			i += 8
		}
		if i == len(s) {
			break
		}
		c := s[i]
		if c < utf8.RuneSelf {
			if c < 0x20 && c != '\t' && c != '\n' && c != '\r' {
				return rune(c), true
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		// A surrogate never gets here: decode refuses it.
		if r == utf8.RuneError && n == 1 || r == 0xFFFE || r == 0xFFFF {
			return r, true
		}
		i += n
	}
	return 0, false
}

// printable reports whether eight bytes are all ASCII from the space on: nearly all of a body is, and
// a loop over its bytes would take as long as its MD5.
func printable(s string) bool {
	x := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 | uint64(s[4])<<32 | uint64(s[5])<<40 |
		uint64(s[6])<<48 | uint64(s[7])<<56 // one load
	const ones = 0x0101010101010101
	return ((x-ones*0x20)|x)&(ones*0x80) == 0
}

// checkAttribute applies SQS's rules for the name, type and value of a message attribute.
func checkAttribute(name string, a MessageAttribute) error {
	switch {
	case name == "" || utf8.RuneCountInString(name) > maxAttributeName:
		return errInvalidParameter("Message attribute name must be between 1 and %d characters long.", maxAttributeName)
	case strings.IndexFunc(name, notAttributeNameRune) >= 0:
		return errInvalidParameter("Message attribute name '%s' is invalid. Reason: it can contain letters, digits, "+
			"underscore, hyphen, and period.", name)
	case strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".") || strings.Contains(name, ".."):
		return errInvalidParameter("Message attribute name '%s' is invalid. Reason: it can't start or end with a period "+
			"or have periods in succession.", name)
	case hasPrefixFold(name, "AWS.") || hasPrefixFold(name, "Amazon."):
		return errInvalidParameter("Message attribute name '%s' is invalid. Reason: it can't start with AWS. or Amazon.",
			name)
	case a.DataType == "":
		return errInvalidParameter("The message attribute '%s' must contain non-empty message attribute type.", name)
	case len(a.DataType) > maxAttributeName:
		return errInvalidParameter("The message attribute '%s' has an invalid message attribute type: it can be up to %d "+
			"characters long.", name, maxAttributeName)
	}
	return checkAttributeValue(name, a)
}

func checkAttributeValue(name string, a MessageAttribute) error {
	base, _, _ := strings.Cut(a.DataType, ".")
	empty := a.StringValue == ""
	switch base {
	case "String", "Number":
	case "Binary":
		empty = len(a.BinaryValue) == 0
	default:
		return errInvalidParameter("The message attribute '%s' has an invalid message attribute type, the set of supported "+
			"type prefixes is Binary, Number, and String.", name)
	}
	if empty {
		return errInvalidParameter("Message (user) attribute '%s' must contain a non-empty value of type '%s'.", name,
			a.DataType)
	}
	if base == "Number" && !legalNumber(a.StringValue) {
		return errInvalidParameter("Can't cast the value of message (user) attribute '%s' to a number.", name)
	}
	if r, bad := forbiddenRune(a.StringValue); bad {
		return errInvalidParameter("Invalid binary character '#x%X' was found in the value of message (user) attribute "+
			"'%s', the set of allowed characters is %s", r, name, allowedRunes)
	}
	return nil
}

// notAttributeNameRune finds what SQS refuses in the name of an attribute. The documentation says A-Z,
// a-z, 0-9, underscore, hyphen and period, but SQS takes those of other alphabets too.
func notAttributeNameRune(r rune) bool {
	return notNameRune(r) && !unicode.IsLetter(r) && !unicode.IsDigit(r)
}

func notNameRune(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-' || r == '.')
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// legalNumber reports whether s is a decimal number. SQS refuses hexadecimal numbers, infinity and
// underscores, which Go accepts.
func legalNumber(s string) bool {
	if strings.Trim(s, "0123456789+-.eE") != "" {
		return false
	}
	_, err := strconv.ParseFloat(s, 64)
	return err == nil
}

// attributeBytes is how much an attribute adds to the size of its message.
func attributeBytes(a named) int {
	return len(a.name) + len(a.DataType) + len(a.StringValue) + len(a.BinaryValue)
}

// legalQueueName is 1 to 80 of A-Z, a-z, 0-9, hyphen and underscore.
func legalQueueName(name string) bool {
	return name != "" && len(name) <= maxQueueName &&
		strings.IndexFunc(name, func(r rune) bool { return notNameRune(r) || r == '.' }) < 0
}

// legalEntryID is the same for the id of a batch entry.
func legalEntryID(id string) bool { return legalQueueName(id) }

// legalGroupID is 1 to 128 alphanumeric characters and punctuation.
func legalGroupID(id string) bool {
	return id != "" && len(id) <= maxGroupID &&
		strings.IndexFunc(id, func(r rune) bool { return r < '!' || r > '~' }) < 0
}
