import javax.security.sasl.AuthenticationException;
import org.apache.hive.service.auth.PasswdAuthenticationProvider;

/** Lets one user in, with the password that the environment variable has. */
public class OneUser implements PasswdAuthenticationProvider {
  @Override
  public void Authenticate(String user, String password) throws AuthenticationException {
    if (!"reader".equals(user) || !System.getenv("WORKBENCH_HIVE_PASSWORD").equals(password)) {
      throw new AuthenticationException("user or password is wrong");
    }
  }
}
