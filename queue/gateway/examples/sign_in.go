// Asks postern-gateway whether a password is right: sign_in SOCKET USER, the password on standard input.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {
	password, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	question, _ := json.Marshal(map[string]string{"username": os.Args[2], "password": strings.TrimSuffix(password, "\n")})
	gateway := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", os.Args[1])
		}}}
	answer, err := gateway.Post("http://localhost/v1/sign-in", "application/json", bytes.NewReader(question))
	var said struct {
		Verdict, Text, ID, Title string
		User                     struct{ Domain, ID string }
	}
	if err == nil {
		err = json.NewDecoder(answer.Body).Decode(&said)
	}
	switch {
	case err != nil || answer.StatusCode != 200: // nobody was asked: a fault, and never a wrong password
		log.Fatal("unavailable: ", said.Title, err)
	case said.Verdict != "accepted":
		log.Fatalf("%s: %s (%s)", said.Verdict, said.Text, said.ID)
	}
	fmt.Println(said.User.Domain, said.User.ID) // the account: key it by both
}
