// Asks postern-gateway whether a password is right: java SignIn.java http://127.0.0.1:8480 USER, the password on standard input.
import java.net.URI;
import java.net.http.*;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Base64;

class SignIn {
    public static void main(String[] args) throws Exception {
        String pair = args[1] + ":" + new String(System.in.readAllBytes(), StandardCharsets.UTF_8).stripTrailing();
        HttpRequest question = HttpRequest.newBuilder(URI.create(args[0] + "/v1/forward")).timeout(Duration.ofSeconds(20))
            .header("Authorization", "Basic " + Base64.getEncoder().encodeToString(pair.getBytes(StandardCharsets.UTF_8))).build();
        HttpResponse<String> said = HttpClient.newHttpClient().send(question, HttpResponse.BodyHandlers.ofString());
        int status = said.statusCode(); // 204, 401 wrong name or password, 403 may not sign in; any other is a fault, never a wrong password
        String id = said.headers().firstValue("Postern-Id").orElse("nobody was asked");
        if (status != 204)
            throw new Exception((status == 401 || status == 403 ? "refused: " : "unavailable: ") + said.body() + " (" + id + ")");
        System.out.println(said.headers().firstValue("X-Postern-User-Domain").get() + " "
            + said.headers().firstValue("X-Postern-User-Id").get()); // the account: key it by both
    }
}
