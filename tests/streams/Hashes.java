// Reads rows of values, one a line, and prints Arrays.deepHashCode of each and Storm's two choices among 7 tasks for its
// first value. A value is n | t | f | l<number> | d<bits in hex> | s<UTF-16 units in hex> | y<bytes in hex> | [ … ].
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;

public class Hashes {
    private static String[] words;
    private static int at;

    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, "US-ASCII"));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            words = line.isEmpty() ? new String[0] : line.split(" ");
            at = 0;
            List<Object> row = new ArrayList<>();
            while (at < words.length) row.add(value());
            int hash = Arrays.deepHashCode(row.toArray());
            int[] two = row.isEmpty() ? new int[] {0, 0} : choices(row.get(0), 7);
            System.out.println(hash + " " + Math.floorMod(hash, 7) + " " + two[0] + " " + two[1]);
        }
    }

    private static Object value() {
        String word = words[at++];
        String rest = word.substring(1);
        switch (word.charAt(0)) {
            case 'n': return null;
            case 't': return true;
            case 'f': return false;
            case 'l': return Long.valueOf(rest);
            case 'd': return Double.longBitsToDouble(Long.parseUnsignedLong(rest, 16));
            case 's': {
                StringBuilder text = new StringBuilder();
                for (int i = 0; i < rest.length(); i += 4) text.append((char) Integer.parseInt(rest.substring(i, i + 4), 16));
                return text.toString();
            }
            case 'y': {
                byte[] bytes = new byte[rest.length() / 2];
                for (int i = 0; i < bytes.length; i++) bytes[i] = (byte) Integer.parseInt(rest.substring(2 * i, 2 * i + 2), 16);
                return bytes;
            }
            case '[': {
                List<Object> list = new ArrayList<>();
                while (!words[at].equals("]")) list.add(value());
                at++;
                return list;
            }
            default: throw new IllegalArgumentException(word);
        }
    }

    private static int[] choices(Object key, int tasks) {
        int hash = key == null ? 0
            : key instanceof byte[] ? Arrays.hashCode((byte[]) key)
            : key instanceof List ? Arrays.deepHashCode(((List<?>) key).toArray())
            : key.hashCode();
        Random random = new Random((long) Arrays.hashCode(ByteBuffer.allocate(4).putInt(hash).array()));
        int first = random.nextInt(tasks);
        int second = random.nextInt(tasks);
        return new int[] {first, first == second ? (second + 1) % tasks : second};
    }
}
